"""Labelled rows of a task, read once and handed to every tool."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bertmod.assemble.components import build_tokenizer
from bertmod.assemble.data import PreparedTask, prepare_tasks
from bertmod.contracts.task import Example
from bertmod.data.features import FeatureTable
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry

SPLITS = ("train", "dev")


@dataclass(frozen=True)
class Rows:
    """What every tool of a comparison gets.

    Attributes:
        splits: ``train`` and ``dev``, JSON values in the form that the peer's program reads.
        num_rows: Rows of each split.
        num_features: bertmod's features of each split.
        labels: The task's label names; None for a task without.
    """

    splits: Mapping[str, Any]
    num_rows: Mapping[str, int]
    num_features: Mapping[str, int]
    labels: tuple[str, ...] | None = None

    def save(self, path: Path) -> None:
        """Write the splits, for peers."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dict(self.splits)), encoding="utf-8")


def prepared_task(recipe: Mapping[str, Any]) -> PreparedTask:
    """A recipe's only task.

    Raises:
        BertmodError: If the recipe, the checkpoint's vocabulary or the data cannot be used.
    """
    registry = load_registry()
    resolved = resolve(dict(recipe), registry)
    tokenizer = build_tokenizer(resolved)
    (prepared,) = prepare_tasks(resolved, registry, tokenizer, strict_data=True).values()
    return prepared


def example_rows(recipe: Mapping[str, Any]) -> Rows:
    """Rows of a recipe's only task, as the task reads them.

    Raises:
        BertmodError: If the recipe, the checkpoint's vocabulary or the data cannot be used.
    """
    return _rows(recipe, lambda examples, _: [dict(example) for example in examples])


def pair_rows(recipe: Mapping[str, Any]) -> Rows:
    """Rows of a recipe's only task, which labels pairs of texts, in columns.

    ``first`` and ``second`` are texts, ``labels`` indices; ``input_ids`` are bertmod's tokens:
    other tools only count the rows for which theirs differ.

    Raises:
        BertmodError: If the recipe, the checkpoint's vocabulary or the data cannot be used.
    """
    return _rows(recipe, _pairs)


def _pairs(examples: Sequence[Example], features: FeatureTable) -> dict[str, Any]:
    ids = features.tokens["input_ids"]
    return {
        "first": [example["texts"][0] for example in examples],
        "second": [example["texts"][1] for example in examples],
        "labels": features.targets["labels"].values.tolist(),
        "input_ids": [ids[start:end].tolist() for start, end in pairwise(features.token_bounds)],
    }


def _rows(
    recipe: Mapping[str, Any], form: Callable[[Sequence[Example], FeatureTable], Any]
) -> Rows:
    prepared = prepared_task(recipe)
    examples = {split: list(prepared.task.read(split)) for split in SPLITS}
    features = {split: prepared.features(split) for split in SPLITS}
    return Rows(
        splits={split: form(examples[split], features[split]) for split in SPLITS},
        num_rows={split: len(examples[split]) for split in SPLITS},
        num_features={split: len(features[split]) for split in SPLITS},
        labels=prepared.info.labels,
    )
