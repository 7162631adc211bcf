"""The page on what each method of the PALs paper adds to BERT base, counted by the code."""

from __future__ import annotations

import json
from pathlib import Path

from bertmod.recipe.count import ParameterCounts, parameter_counts
from bertmod.recipe.resolve import resolve
from bertmod.registry import Registry
from reference_pages.markdown import code, page, table

RECIPES = Path(__file__).resolve().parents[2] / "recipes/paper"
PARENT = "pals_anneal.json"
ENDING = "_anneal.json"
BASE = {"name": "bert", "size": "base", "vocab_size": 30522}

INTRO = """
What the methods of [the paper](../explanation/adapters.md) add to BERT base, with its eight tasks.
The recipes are those of `recipes/paper/`, the counts come from the same functions as those that
`bertmod plan` prints, and tests compare them with the original program's. Heads are not counted.
"""

NOTE = """
The multiple is encoder and adapters of all eight tasks, divided by the encoder. `bertmod plan`
prints the same for a recipe of yours, and `bertmod check` needs no weights and no data to find
sizes that do not fit.
"""


def parameters_page(registry: Registry) -> str:
    """A row for every method."""
    found = {
        path.name.removesuffix(ENDING): (path, _counts(path, registry))
        for path in sorted(RECIPES.glob(f"*{ENDING}"))
    }
    rows = [
        [
            code(name),
            _options(path),
            f"{_per_task(counts):,}",
            f"{_all(counts):,}",
            _multiple(counts),
        ]
        for name, (path, counts) in sorted(found.items(), key=lambda item: _all(item[1][1]))
    ]
    head = ["recipe", "adapters", "parameters of a task", "of eight tasks", "multiple"]
    encoder = next(iter(found.values()))[1].encoder
    return page(
        "Parameters of the methods",
        INTRO,
        f"The encoder, its pooler included, has {encoder:,} parameters.",
        table(head, rows),
        NOTE,
    )


def _slots(path: Path) -> dict[str, object]:
    """Tasks and adapters of a recipe of the folder, some of them its parent's."""
    own = json.loads(path.read_text(encoding="utf-8"))
    parent = json.loads((RECIPES / PARENT).read_text(encoding="utf-8"))
    tasks = [{"name": slot["name"]} for slot in parent["tasks"]]
    return {"tasks": tasks, "adapters": own.get("adapters", parent["adapters"])}


def _counts(path: Path, registry: Registry) -> ParameterCounts:
    return parameter_counts(resolve({**_slots(path), "encoder": BASE}, registry))


def _options(path: Path) -> str:
    """Adapters with their sizes."""
    shown = []
    for slot in _slots(path)["adapters"]:  # type: ignore[attr-defined]
        size = slot.get("bottleneck_size")
        shown.append(code(slot["name"]) + (f" {size}" if size else ""))
    return " + ".join(shown) or "none"


def _per_task(counts: ParameterCounts) -> int:
    return max(counts.adapters.values())


def _all(counts: ParameterCounts) -> int:
    return sum(counts.adapters.values())


def _multiple(counts: ParameterCounts) -> str:
    return f"{counts.multiple:.4f}" if counts.multiple < 1.001 else f"{counts.multiple:.3f}"
