"""The README of a model: what it is, what it was made from and how good it is, as Markdown."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bertmod.contracts.checkpoint import Slot
from bertmod.contracts.head import TaskInfo

CARD_FILE = "README.md"

PIPELINES = {
    "classification": "text-classification",
    "regression": "text-classification",
    "multi_label": "text-classification",
    "multiple_choice": "multiple-choice",
    "span": "question-answering",
    "token_classification": "token-classification",
    "masked_lm": "fill-mask",
}
"""Head to the hub's word for what it does."""

LONGEST_LABELS = 40
"""Labels shown of a task; more are counted."""

LOAD_ENCODER = """\
```python
from bertmod.inference import load_encoder

encoder = load_encoder("{encoder}")
```"""

LOAD_TASK = """\
```python
from bertmod.inference import load_adapter, load_encoder

encoder = load_encoder("{encoder}")
task = load_adapter("{task}", encoder)
```"""

PLAIN = re.compile(r"[\w./:@+-]+( [\w./:@+-]+)*")
"""What stands between backticks as it is."""

HUB_NAME = re.compile(r"hf:([^@]+)(@.*)?")
"""A checkpoint by its name on the hub, with or without its revision."""

SYNTHETIC = (
    "**The data is bertmod's built-in sample, which is synthetic: the scores show that training "
    "works, and say nothing about language.**"
)


@dataclass(frozen=True)
class TaskCard:
    """One task of a model.

    Attributes:
        id: Id of the task.
        task: Its slot; empty if nobody knows it.
        head: Slot of its head.
        adapters: Slots of its adapters, in the order in which they act.
        info: Label names or value range.
        metric: ``split/metric`` that chose it; empty if none did.
        score: Value of that metric, in the metric's unit; None if it was not measured.
        step: Optimizer steps done; 0 if nobody knows.
        num_parameters: Parameters of its adapters and head.
        data: Data file to SHA-256 of its content, as 64 hexadecimal digits.
    """

    id: str
    task: Slot
    head: Slot
    adapters: tuple[Slot, ...] = ()
    info: TaskInfo = field(default_factory=TaskInfo)
    metric: str = ""
    score: float | None = None
    step: int = 0
    num_parameters: int = 0
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelCard:
    """What a model's README says.

    Attributes:
        title: Name of the model.
        made_from: How it came to be: a sentence or a few, Markdown.
        encoder: Encoder slot, every option stated.
        tokenizer: Tokenizer slot, every option stated.
        encoder_hash: SHA-256 of the encoder's values, as 64 hexadecimal digits.
        num_parameters: Parameters of the encoder.
        tasks: Its tasks, in order.
        recipe: The resolved recipe's JSON values; None if there was none.
        recipe_hash: SHA-256 of the resolved recipe, which its run keeps; empty if there was none.
        versions: Program or library to its version.
        use: How to use it: Markdown.
        synthetic: Whether it was trained on the built-in sample.
        library: What reads the folder, as the hub calls it.
        checkpoint: What it was trained from, as ``--checkpoint`` takes it; empty if from nothing.
    """

    title: str
    made_from: str
    encoder: Slot
    tokenizer: Slot
    encoder_hash: str
    num_parameters: int
    tasks: tuple[TaskCard, ...] = ()
    recipe: Mapping[str, Any] | None = None
    recipe_hash: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    use: str = ""
    synthetic: bool = False
    library: str = "bertmod"
    checkpoint: str = ""


def render_card(card: ModelCard) -> str:
    """The README: the hub's front matter (YAML), then Markdown.

    Args:
        card: What it says. Names and labels may hold any character.
    """
    lines = ["---", *_front_matter(card), "---", "", f"# {_escaped(card.title)}", ""]
    lines += [card.made_from, ""]
    if card.synthetic:
        lines += [SYNTHETIC, ""]
    if card.use:
        lines += ["## Use", "", card.use, ""]
    if card.tasks:
        lines += ["## Tasks", "", *_tasks(card), ""]
    lines += ["## Encoder", "", _size(card), "", *_options(card.encoder), ""]
    lines += ["## Tokenizer", "", *_options(card.tokenizer), ""]
    if data := {name: found for task in card.tasks for name, found in task.data.items()}:
        rows = [(code(name), code(found)) for name, found in data.items()]
        lines += ["## Data", "", *_table(("file", "SHA-256"), rows), ""]
    if card.versions:
        rows = [(_escaped(name), _escaped(found)) for name, found in card.versions.items()]
        lines += ["## Versions", "", *_table(("program", "version"), rows), ""]
    if card.recipe is not None or card.recipe_hash:
        lines += ["## Recipe", "", *_recipe(card), ""]
    return "\n".join(lines).rstrip() + "\n"


def loading_code(encoder: str, task: str = "") -> str:
    """Python that loads what bertmod's own folders hold, as Markdown.

    Args:
        encoder: The encoder's folder, or one that has it.
        task: A task's folder; empty for none.
    """
    return (LOAD_TASK if task else LOAD_ENCODER).format(encoder=encoder, task=task)


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Version of each of these distributions that is installed.

    Args:
        names: Their names.
    """
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def num_parameters(*modules: Any) -> int:
    """How many parameters modules have together."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _front_matter(card: ModelCard) -> Iterator[str]:
    """Keys that the hub reads; each value is JSON that YAML reads alike."""
    heads = [_bare(task.head) for task in card.tasks]
    adapters = [_bare(slot) for task in card.tasks for slot in task.adapters]
    values: dict[str, Any] = {
        "library_name": card.library,
        "tags": list(dict.fromkeys(["bertmod", "bert", *adapters])),
    }
    if len(set(heads)) == 1 and heads[0] in PIPELINES:
        values["pipeline_tag"] = PIPELINES[heads[0]]
    if named := HUB_NAME.fullmatch(card.checkpoint):
        values["base_model"] = named[1]
    if results := [_result(task) for task in card.tasks if _measured(task)]:
        values["model-index"] = [{"name": _printable(card.title), "results": results}]
    for key, value in values.items():
        yield f"{key}: {json.dumps(value, ensure_ascii=False)}"


def _result(task: TaskCard) -> dict[str, Any]:
    return {
        "task": {"type": PIPELINES.get(_bare(task.head), _bare(task.head))},
        "dataset": {"name": task.id, "type": _bare(task.task) or task.id},
        "metrics": [
            {
                "type": task.metric.split("/")[-1],
                "name": task.metric,
                "value": round(task.score or 0.0, 4),  # YAML takes 1e-05 for a text
            }
        ],
    }


def _measured(task: TaskCard) -> bool:
    return task.score is not None and math.isfinite(task.score)


def _printable(text: str) -> str:
    """Text on one line, without characters that YAML cannot hold."""
    return "".join(each if each.isprintable() else " " for each in text)


def _tasks(card: ModelCard) -> Iterator[str]:
    yield from _table(
        ("task", "head", "score", "step", "adapters", "parameters", "of the encoder's"),
        [
            (
                _escaped(task.id),
                _bare(task.head) or "none",
                _score(task),
                f"{task.step:,}" if task.step else "",
                ", ".join(map(_adapter, task.adapters)) or "none",
                f"{task.num_parameters:,}",
                f"{task.num_parameters / max(card.num_parameters, 1):.2%}",
            )
            for task in card.tasks
        ],
        right={3, 5, 6},
    )
    yield ""
    yield "Labels, in the order of the logits:"
    yield ""
    for task in card.tasks:
        yield f"- {_escaped(task.id)}: {_labels(task.info)}"


def _score(task: TaskCard) -> str:
    if task.score is None:
        return "not measured"
    return f"{_escaped(task.metric)} {task.score:.4f}" if _measured(task) else "not defined"


def _adapter(slot: Slot) -> str:
    """An adapter with the sizes that say how big it is."""
    sizes = [f"{key} {slot[key]}" for key in slot if key.endswith(("_size", "rank"))]
    return _bare(slot) + (f" ({', '.join(sizes)})" if sizes else "")


def _labels(info: TaskInfo) -> str:
    if info.labels is None:
        if info.value_range is None:
            return "none"
        return f"a number from {info.value_range[0]:g} to {info.value_range[1]:g}"
    shown = [code(label) for label in info.labels[:LONGEST_LABELS]]
    rest = len(info.labels) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _size(card: ModelCard) -> str:
    """How large the encoder is, and the whole beside it."""
    told = f"{card.num_parameters:,} parameters"
    if card.tasks:
        whole = card.num_parameters + sum(task.num_parameters for task in card.tasks)
        multiple = whole / max(card.num_parameters, 1)
        told += f"; with every task's {whole:,}, which is {multiple:.2f} times the encoder"
    return f"{told}. SHA-256 of its values: {code(card.encoder_hash)}."


def _options(slot: Slot) -> Iterator[str]:
    """What is stated of a component."""
    rows = [(code(key), code(_value(slot[key]))) for key in slot if slot[key] is not None]
    yield from _table(("option", "value"), rows)


def _value(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _recipe(card: ModelCard) -> Iterator[str]:
    if card.recipe is None:
        yield f"SHA-256 of the resolved recipe, which the run keeps: {code(card.recipe_hash)}"
        return
    text = json.dumps(card.recipe, indent=2, ensure_ascii=False)
    yield (
        "<details><summary>as resolved, of paths the last part alone; SHA-256 of the whole "
        f"{card.recipe_hash}</summary>"
    )
    yield ""
    yield from (f"    {line}" for line in text.splitlines())
    yield ""
    yield "</details>"


def _table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: set[int] | frozenset[int] = frozenset(),
) -> Iterator[str]:
    yield _row(header)
    yield _row(["---:" if column in right else "---" for column in range(len(header))])
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _bare(slot: Slot) -> str:
    """A component's name without its provider."""
    return str(slot.get("name", "")).split("/")[-1]


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", one_line)


def code(text: str) -> str:
    """Text as code in Markdown, on one line.

    Args:
        text: Any text. With characters such as a bar, which would end a table's cell, it is HTML.
    """
    if PLAIN.fullmatch(text):
        return f"`{text}`"
    inner = re.sub(r"[&<>|\n`*\[\]\\]|(?<![^\W_])_|_(?![^\W_])", _entity, text)
    return f"<code>{inner}</code>"


def _entity(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
