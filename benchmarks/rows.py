"""Labelled rows of a task, read once and handed to every tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from bertmod.assemble.components import build_tokenizer
from bertmod.assemble.data import prepare_tasks
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry


@dataclass(frozen=True)
class Rows:
    """A split of a pair task.

    Attributes:
        first: First texts.
        second: Second texts, as many.
        labels: Index of each label among the task's label names.
        input_ids: bertmod's tokens of each pair, special ones included; other tools only count
            the rows for which theirs differ.
    """

    first: list[str]
    second: list[str]
    labels: list[int]
    input_ids: list[list[int]]

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)


def read_rows(recipe: Mapping[str, Any], splits: tuple[str, ...]) -> dict[str, Rows]:
    """Splits of a recipe's only task.

    Args:
        recipe: A recipe's values.
        splits: Names of splits with labels.

    Raises:
        BertmodError: If the recipe, the checkpoint's vocabulary or the data cannot be used.
    """
    registry = load_registry()
    resolved = resolve(dict(recipe), registry)
    (prepared,) = prepare_tasks(
        resolved, registry, build_tokenizer(resolved), strict_data=True
    ).values()
    found = {}
    for split in splits:
        examples, features = prepared.task.read(split), prepared.features(split)
        bounds, ids = features.token_bounds, features.tokens["input_ids"]
        found[split] = Rows(
            first=[example["texts"][0] for example in examples],
            second=[example["texts"][1] for example in examples],
            labels=features.targets["labels"].values.tolist(),
            input_ids=[ids[start:end].tolist() for start, end in pairwise(bounds)],
        )
    return found
