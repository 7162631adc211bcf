"""What targets of each kind look like in a table of features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bertmod.contracts.head import TaskInfo
from bertmod.data.features import Column, FeatureTable
from bertmod.testing.subject import require

POSITIONS = ("position", "positions")
CLASSES = ("class", "classes")
NUMBERS = ("value", "flags")


def require_kinds(
    table: FeatureTable, declared: Mapping[str, str], info: TaskInfo, told: str
) -> None:
    """Check that targets and positions are what their kinds say.

    Args:
        table: Features that have all of them.
        declared: Name to kind.
        info: The task's labels.
        told: Which features they are, for the message.

    Raises:
        AssertionError: If one is not.
    """
    for name, kind in declared.items():
        group, other = ("positions", "targets") if kind in POSITIONS else ("targets", "positions")
        columns: Mapping[str, Column] = getattr(table, group)
        require(name in columns, f"{told}: {name}, of kind {kind}, is among the {other}")
        values = np.asarray(columns[name].values)
        if kind in POSITIONS:
            require(values.dtype.kind == "i", f"{told}: position {name} is {values.dtype}")
        elif kind in NUMBERS:
            require(values.dtype.kind == "f", f"{told}: target {name} is {values.dtype}")
        elif kind in CLASSES:
            count = len(info.labels or ())
            what = f"target {name} is no index into {count} labels"
            require(_are_indices(values, count), f"{told}: {what}")
        elif kind == "pieces":
            right = values.dtype.kind in "iu" and bool((values >= -1).all())
            require(right, f"{told}: target {name} has what is no index into a vocabulary")
        elif kind == "choice":
            what = f"target {name} is no index into the rows of its feature"
            require(_are_indices(values, np.diff(table.row_bounds)), f"{told}: {what}")


def _are_indices(values: np.ndarray, count: np.ndarray | int) -> bool:
    """Whether values are whole numbers below a count, or -1 for none."""
    return values.dtype.kind in "iu" and bool((values < count).all() and (values >= -1).all())
