"""The program in the README beside exported files, where not every part of it can be there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bertmod import Exported, TaskInfo
from bertmod.inference.export_record import Export
from bertmod.inference.export_use import how_to_run
from bertmod.model.padded import PaddedOutput


def told(use: str, *outputs: PaddedOutput, labels: tuple[str, ...] | None) -> str:
    """What is said of a task's files, its tokenizer being one that only bertmod knows."""
    chosen: Any = SimpleNamespace(
        pipeline="", records={"mine": SimpleNamespace(info=TaskInfo(labels))}
    )
    padded: Any = SimpleNamespace(outputs=outputs)
    return how_to_run(Export(chosen, padded, Exported(lambda inputs, names: {}, use=use)))


def test_a_tokenizer_and_labels_that_only_bertmod_knows() -> None:
    found = told(
        "outputs = answer(inputs)",
        PaddedOutput("logits", "mine", "logits", "row", (1,)),
        labels=None,
    )
    assert found.startswith(
        "```python\n"
        "# inputs: arrays by name, of the tokenizer's indices\n\n"
        "outputs = answer(inputs)\n\n"
        "print(outputs)\n"
        "```\n\n"
        "Inputs and outputs, which `export.json` lists with the label names:\n\n"
        "- `input_ids`, int64, (batch, length): "
    )
    assert found.endswith("- `logits`, float32, (batch, 1): the logits of task mine")


def test_files_that_python_cannot_run() -> None:
    output = PaddedOutput("logits", "mine", "logits", "token", (2,))
    assert told("", output, labels=("a", "b")).startswith("Inputs and outputs, ")
