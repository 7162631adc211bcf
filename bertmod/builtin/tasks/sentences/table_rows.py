"""What the labels of a table's rows are, and how rows are shared out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertmod import DataError
from bertmod.builtin.tasks.sentences.examples import Label
from bertmod.builtin.tasks.sentences.labels import number_of
from bertmod.builtin.tasks.sentences.table_config import TableSplit
from bertmod.wording import counted

_MANY_LABELS = 20
_NEARLY = 1e-9  # so that 0.29 of 100 rows are 29


def found_names(path: Path, counts: Mapping[str, int], *, num_rows: int) -> tuple[str, ...]:
    """Label names in order: of their numbers if all are numbers, else of their letters.

    Args:
        path: Where they were found.
        counts: Label name to how often it stands there.
        num_rows: Rows there.

    Raises:
        DataError: If there are so many that they can hardly be labels.
    """
    if len(counts) > _MANY_LABELS and 2 * len(counts) > num_rows:
        raise DataError(
            f"{path}: {len(counts)} different labels in {num_rows} rows\n"
            '  for numbers state "value_range", for labels that are so many state "labels"'
        )
    return tuple(_in_order(list(counts)))


def _in_order(names: list[str]) -> list[str]:
    numbers = [number_of(name) for name in names]
    if not np.isfinite(numbers).all():
        return sorted(names)
    return [name for _, name in sorted(zip(numbers, names, strict=True))]


def require_different(path: Path, labels: Sequence[Label]) -> None:
    """Refuse labels that are all the same.

    Raises:
        DataError: If they are.
    """
    if any(label != labels[0] for label in labels):
        return
    label = labels[0]
    if isinstance(label, list):
        told = " and ".join(f'"{name}"' for name in label) or "no label"
    else:
        told = f"the value {label:g}" if isinstance(label, float) else f'the label "{label}"'
    raise DataError(
        f"{path}: every row ({counted(len(labels), 'row')}) has {told}: nothing to learn"
    )


def shares(labels: Sequence[Label], split: TableSplit) -> dict[str, np.ndarray]:
    """Rows of the training, dev and test split, by lot, each label in about the same proportion.

    Rows are shuffled, put in the order of their labels, and taken at equal distances.

    Args:
        labels: Label of each row.
        split: The shares, and the seed of the shuffling.

    Returns:
        Split to its row numbers, ascending, (rows,), int64; as many as the share of all rows,
        rounded down.
    """
    shuffled = np.random.default_rng(split.seed).permutation(len(labels)).tolist()
    keys: Sequence[Any] = labels  # all of one type
    order = np.array(sorted(shuffled, key=lambda row: keys[row]), dtype=np.int64)
    held = _evenly(len(order), split.dev + split.test)
    tested = _evenly(int(held.sum()), split.test / (split.dev + split.test))
    return {
        "train": np.sort(order[~held]),
        "dev": np.sort(order[held][~tested]),
        "test": np.sort(order[held][tested]),
    }


def _evenly(count: int, share: float) -> np.ndarray:
    """Which of so many places are taken, (count,), bool: a share of them at equal distances."""
    steps = np.floor(np.arange(count + 1) * share + _NEARLY)
    taken: np.ndarray = np.diff(steps) > 0
    return taken
