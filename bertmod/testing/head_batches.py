"""Features with targets of every known kind, and batches of them, for the checks of heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bertmod.contracts.batch import Batch
from bertmod.contracts.head import HeadContext, TaskInfo
from bertmod.contracts.task import Feature
from bertmod.data.collate import collate, row_layout
from bertmod.data.features import Column, FeatureTable
from bertmod.nn.initialisation import initialise
from bertmod.testing.bench import LABELS, rows_of, stir
from bertmod.testing.subject import HOST, Subject, host_shape

ROWS = (5, 9, 2, 30, 7, 4, 3)
"""Real tokens of the rows: packed, some of them have padding at their ends and some have none."""

CHOICES = (2, 3, 2)
"""Rows of the features of a head that chooses among them; other heads have one row each."""

MAX_LENGTH = 32
"""Longest row of the task, tokens."""

VALUES, CLASSES = {"value"}, {"class", "classes", "flags"}
UNLABELLED = {"choice", "position", "positions", "pieces"}


def info_of(subject: Subject) -> TaskInfo:
    """The head's own labels or three, counted, for a head of classes; a range for one of values;
    else neither.
    """
    kinds = set(subject.spec.targets(subject.config).values())
    if kinds <= VALUES | UNLABELLED and kinds & VALUES:
        return TaskInfo(value_range=(0.0, 5.0), fingerprint="conformance")
    if kinds <= UNLABELLED:
        return TaskInfo(fingerprint="conformance")
    labels = subject.spec.labels or LABELS
    counts = (6, 3, *(1,) * len(labels))[: len(labels)]
    return TaskInfo(labels=labels, fingerprint="conformance", label_counts=counts)


def fresh(subject: Subject, *, seed: int = 0, info: TaskInfo | None = None) -> Any:
    """A head as its builder makes it."""
    torch.manual_seed(seed)
    about = info or info_of(subject)
    context = HeadContext("task", host_shape(), about, initialise, MAX_LENGTH)
    return subject.spec.build(subject.config, context)


def build(subject: Subject) -> Any:
    """A head with noise in every parameter, in evaluation mode."""
    return stir(fresh(subject), seed=1).eval()


def labelled(subject: Subject) -> FeatureTable:
    """Features with the targets and positions that the head reads.

    Raises:
        AssertionError: If the author gave no function for targets that are not known here.
    """
    kinds = dict(subject.spec.targets(subject.config))
    rows = CHOICES if "choice" in kinds.values() else (1,) * len(ROWS)
    draws, ends = np.random.default_rng(3), np.cumsum(rows)
    tokens = [
        tuple(_row(ids) for ids in rows_of(ROWS)[end - count : end])
        for count, end in zip(rows, ends.tolist(), strict=True)
    ]
    if subject.material.targets is not None:
        table = FeatureTable.from_features(
            Feature(number, own, {}, {}, {}) for number, own in enumerate(tokens)
        )
        given = subject.material.targets(draws, table.row_lengths)
        return replace(table, targets={name: Column(value) for name, value in given.items()})
    return FeatureTable.from_features(
        Feature(number, own, *_targets(subject, kinds, own, draws), {})
        for number, own in enumerate(tokens)
    )


def unlabelled(table: FeatureTable) -> FeatureTable:
    """The same features without targets."""
    return replace(table, targets={}, positions={})


def repeated(table: FeatureTable, times: int) -> FeatureTable:
    """The features, one behind another, so many times."""
    return table.take(np.tile(np.arange(len(table)), times))


def batch_for(head: Any, table: FeatureTable) -> Batch:
    """All features in the layout that a head gets in a run with packed rows."""
    return collate(table, layout=row_layout([head.layout], "packed"))


def _row(ids: np.ndarray) -> dict[str, np.ndarray]:
    types = (np.arange(len(ids)) >= (len(ids) + 1) // 2).astype(np.uint8)
    return {"input_ids": ids.astype(np.int32), "token_type_ids": types}


def _targets(
    subject: Subject, kinds: dict[str, str], rows: Sequence[Any], draws: np.random.Generator
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Targets and positions of one feature; every second token of it is a word."""
    tokens = sum(len(row["input_ids"]) for row in rows)
    classes = len(subject.spec.labels or LABELS)
    words = np.arange(0, tokens, 2)
    targets: dict[str, np.ndarray] = {}
    positions: dict[str, np.ndarray] = {}
    for name, kind in kinds.items():
        if kind == "class":
            targets[name] = np.asarray(draws.integers(0, classes))
        elif kind == "classes":
            targets[name] = draws.integers(0, classes, len(words))
        elif kind == "pieces":
            targets[name] = draws.integers(0, HOST["vocab_size"], len(words))
        elif kind == "flags":
            targets[name] = draws.integers(0, 2, classes).astype(np.float32)
        elif kind == "value":
            targets[name] = np.asarray(draws.uniform(0, 1), np.float32)
        elif kind == "choice":
            targets[name] = np.asarray(draws.integers(0, len(rows)))
        elif kind == "position":
            positions[name] = np.asarray(draws.integers(0, tokens))
        elif kind == "positions":
            positions[name] = words
        else:
            raise AssertionError(
                f'the suite cannot make targets of kind "{kind}": give targets='
                f'{{"{subject.spec.name}": function of (numpy generator, row lengths)}}'
            )
    return targets, positions
