"""The README of a model: what it is, what it was made from and how good it is, as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bertmod.contracts.head import TaskInfo

CARD_FILE = "README.md"

Slot = Mapping[str, Any]

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
        step: Optimizer steps done.
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
        recipe_hash: SHA-256 of the resolved recipe; empty if there was none.
        versions: Program or library to its version.
        use: How to use it: Markdown.
        synthetic: Whether it was trained on the built-in sample.
        library: What reads the folder, as the hub calls it.
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
    lines += ["## Encoder", "", *_encoder(card), ""]
    if data := {name: found for task in card.tasks for name, found in task.data.items()}:
        rows = [(_code(name), _code(found)) for name, found in data.items()]
        lines += ["## Data", "", *_table(("file", "SHA-256"), rows), ""]
    if card.versions:
        rows = [(_escaped(name), _escaped(found)) for name, found in card.versions.items()]
        lines += ["## Versions", "", *_table(("program", "version"), rows), ""]
    if card.recipe is not None:
        lines += ["## Recipe", "", *_recipe(card), ""]
    return "\n".join(lines).rstrip() + "\n"


def _front_matter(card: ModelCard) -> Iterator[str]:
    """Keys that the hub reads; each value is JSON, which is YAML too."""
    heads = [_bare(task.head) for task in card.tasks]
    adapters = [_bare(slot) for task in card.tasks for slot in task.adapters]
    values: dict[str, Any] = {
        "library_name": card.library,
        "tags": list(dict.fromkeys(["bertmod", "bert", *adapters])),
    }
    if len(set(heads)) == 1 and heads[0] in PIPELINES:
        values["pipeline_tag"] = PIPELINES[heads[0]]
    if results := [_result(task) for task in card.tasks if task.score is not None]:
        values["model-index"] = [{"name": card.title, "results": results}]
    for key, value in values.items():
        yield f"{key}: {json.dumps(value)}"


def _result(task: TaskCard) -> dict[str, Any]:
    return {
        "task": {"type": PIPELINES.get(_bare(task.head), _bare(task.head))},
        "dataset": {"name": task.id, "type": _bare(task.task) or task.id},
        "metrics": [{"type": task.metric.split("/")[-1], "name": task.metric, "value": task.score}],
    }


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
    return "not measured" if task.score is None else f"{_escaped(task.metric)} {task.score:.4f}"


def _adapter(slot: Slot) -> str:
    """An adapter with the sizes that say how big it is."""
    sizes = [f"{key} {slot[key]}" for key in slot if key.endswith(("_size", "rank"))]
    return _bare(slot) + (f" ({', '.join(sizes)})" if sizes else "")


def _labels(info: TaskInfo) -> str:
    if info.labels is None:
        if info.value_range is None:
            return "none"
        return f"a number from {info.value_range[0]:g} to {info.value_range[1]:g}"
    shown = [_code(label) for label in info.labels[:LONGEST_LABELS]]
    rest = len(info.labels) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _encoder(card: ModelCard) -> Iterator[str]:
    whole = card.num_parameters + sum(task.num_parameters for task in card.tasks)
    multiple = whole / max(card.num_parameters, 1)
    yield (
        f"{card.num_parameters:,} parameters; with every task's {whole:,}, which is "
        f"{multiple:.2f} times the encoder. SHA-256 of its values: {_code(card.encoder_hash)}."
    )
    for slot in (card.encoder, card.tokenizer):
        rows = [(_code(key), _code(json.dumps(value))) for key, value in slot.items()]
        yield ""
        yield from _table(("option", "value"), rows)


def _recipe(card: ModelCard) -> Iterator[str]:
    text = json.dumps(card.recipe, indent=2, ensure_ascii=False)
    yield f"<details><summary>as resolved, SHA-256 {card.recipe_hash}</summary>"
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


def _code(text: str) -> str:
    """Text as code, whatever is in it; HTML, since a bar would end a table's cell."""
    inner = re.sub(r"[&<>|\n`*\[\]\\]|(?<![^\W_])_|_(?![^\W_])", _entity, text)
    return f"<code>{inner}</code>"


def _entity(found: re.Match[str]) -> str:
    return f"&#{ord(found[0])};"
