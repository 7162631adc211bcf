"""How exported files are run: Python for the README beside them."""

from __future__ import annotations

from bertmod.inference.export_record import EXPORT_FILE, INPUTS, Export, output_axes

TOKENS = """\
import numpy as np
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation({max_length})
tokenizer.enable_padding()
rows = tokenizer.encode_batch(["A text.", ("A text.", "Its second, if it has one.")])
inputs = {{
    "input_ids": np.array([row.ids for row in rows]),
    "attention_mask": np.array([row.attention_mask for row in rows]),
    "token_type_ids": np.array([row.type_ids for row in rows]),
}}"""

LABELS = """\
import json

with open("{file}", encoding="utf-8") as file:
    labels = json.load(file)["tasks"]["{task}"]["labels"]
print(dict(zip(labels, outputs["{output}"][{place}])))  # {which}"""

PLACES = {"row": ("0", "of the first row"), "token": ("0, 1", "of the first row's first word")}
"""What an output has an entry per, to where one stands in it, and which that is."""


def how_to_run(export: Export) -> str:
    """Python that runs the files, if there is any, and what goes in and comes out, as Markdown.

    Args:
        export: What came of the export.
    """
    inputs = [f"- `{name}`, int64, (batch, length): {told}" for name, told in INPUTS.items()]
    outputs = [
        f"- `{each['name']}`, {each['dtype']}, ({', '.join(map(str, each['shape']))}): "
        f"the logits of task {each['task']}"
        for each in map(output_axes, export.padded.outputs)
    ]
    listed = f"Inputs and outputs, which `{EXPORT_FILE}` lists with the label names:"
    return "\n".join([*_code(export), listed, "", *inputs, *outputs])


def _code(export: Export) -> list[str]:
    """The program, in which the exporter's own lines stand between tokens and labels."""
    if not export.exported.use:
        return []
    if export.chosen.pipeline:
        tokens = TOKENS.format(max_length=export.chosen.max_length)
    else:
        tokens = "# inputs: arrays by name, of the tokenizer's indices"
    parts = (tokens, export.exported.use, _answer(export))
    return ["```python", "\n\n".join(parts), "```", ""]


def _answer(export: Export) -> str:
    """Lines that show what comes out: with label names, if an output has any."""
    for output in export.padded.outputs:
        labels = export.chosen.records[output.task].info.labels
        if labels is not None and output.shape == (len(labels),):
            place, which = PLACES[output.per]
            return LABELS.format(
                file=EXPORT_FILE, task=output.task, output=output.name, place=place, which=which
            )
    return "print(outputs)"
