"""Features to batches: the one place where host arrays become tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from bertmod.contracts.batch import Batch
from bertmod.data.features import Column, FeatureTable
from bertmod.nn.context import Layout, RowContext

LENGTH_MULTIPLE = 8
"""Padded rows are as long as the longest row, rounded up to a multiple of this."""


def host_targets(table: FeatureTable) -> dict[str, np.ndarray]:
    """Targets and positions of features, as ``Head.num_targets`` reads them.

    Positions below 0 become 0; positions beyond the feature become -1, which does not count.
    """
    targets = {name: _dense(column) for name, column in table.targets.items()}
    lengths = table.lengths
    for name, column in table.positions.items():
        positions = np.maximum(_dense(column).astype(np.int64), 0)
        limits = lengths.reshape(-1, *(1,) * (positions.ndim - 1))
        targets[name] = np.where(positions < limits, positions, -1)
    return targets


def collate(
    table: FeatureTable,
    *,
    layout: Layout = "packed",
    tasks: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
) -> Batch:
    """A batch of all features of a table.

    Args:
        table: Features, usually ``table.take(indices)``.
        layout: ``packed``: only real tokens; ``padded``: rows of one length, a multiple of 8.
        tasks: Task index of each row, ascending, for rows of several tasks; None means one task.
        device: Where the tensors go.

    Returns:
        The batch; positions count flat tokens of the batch, -1 where they do not count.
    """
    lengths = table.row_lengths
    longest = -(-int(lengths.max()) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
    slots = None if layout == "packed" else _padded_slots(lengths, longest)
    total = int(lengths.sum()) if slots is None else len(lengths) * longest
    place = _Place(slots, total, device)
    context = RowContext.of(
        lengths,
        layout=layout,
        tasks=tasks,
        length=None if layout == "packed" else longest,
        device=device,
    )
    features = np.repeat(np.arange(len(table)), np.diff(table.row_bounds))
    types = table.tokens.get("token_type_ids")
    return Batch(
        input_ids_T=place(table.tokens["input_ids"]),
        token_type_ids_T=None if types is None else place(types),
        feature_of_row_R=torch.from_numpy(features).to(device),
        targets=_targets(table, slots, device),
        context=context,
    )


class _Place:
    """Puts token columns where the layout wants them; what is padding becomes 0."""

    def __init__(self, slots: np.ndarray | None, total: int, device: torch.device | str) -> None:
        self.slots, self.total, self.device = slots, total, device

    def __call__(self, column: np.ndarray) -> torch.Tensor:
        flat = np.asarray(column, dtype=np.int64)
        if self.slots is not None:
            padded = np.zeros(self.total, dtype=np.int64)
            padded[self.slots] = flat
            flat = padded
        return torch.from_numpy(flat).to(self.device)


def _targets(
    table: FeatureTable, slots: np.ndarray | None, device: torch.device | str
) -> Mapping[str, torch.Tensor]:
    arrays = host_targets(table)
    first = table.token_bounds[table.row_bounds[:-1]]
    for name in table.positions:
        counted = arrays[name] >= 0
        flat = arrays[name] + first.reshape(-1, *(1,) * (arrays[name].ndim - 1))
        if slots is not None:
            flat = slots[np.where(counted, flat, 0)]
        arrays[name] = np.where(counted, flat, -1)
    return {
        name: torch.from_numpy(np.ascontiguousarray(value)).to(device)
        for name, value in arrays.items()
    }


def _padded_slots(lengths: np.ndarray, longest: int) -> np.ndarray:
    starts = np.arange(len(lengths)) * longest - (np.cumsum(lengths) - lengths)
    slots: np.ndarray = np.arange(int(lengths.sum())) + np.repeat(starts, lengths)
    return slots


def _dense(column: Column) -> np.ndarray:
    """A column as one array; ragged vectors lie one behind another."""
    return np.asarray(column.values)
