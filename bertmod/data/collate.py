"""Features to batches: the one place where host arrays become tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from bertmod.contracts.batch import Batch
from bertmod.contracts.head import HeadLayout
from bertmod.data.features import Column, FeatureTable
from bertmod.nn.context import Layout, RowContext, places, stored_lengths
from bertmod.nn.transfer import to_device

LENGTH_MULTIPLE = 8
"""Padded rows are as long as the longest row, rounded up to a multiple of this."""

TOKEN_MULTIPLE = 64
"""Packed tokens are rounded up to a multiple of this, so that the shapes of matrix products
repeat: oneDNN compiles a kernel for every bf16 shape that is new to it, which takes longer than a
small product."""

MOST_PADDING = 1 / 16
"""Padding of a batch's tokens up to which it costs less than to move tokens around it."""


def row_layout(wanted: Iterable[HeadLayout], usual: Layout) -> Layout | int:
    """The layout that suits all heads of a batch, as ``collate`` takes it.

    Args:
        wanted: Layout that each head needs.
        usual: Layout where they do not mind.
    """
    needs = list(wanted)
    lengths = [need for need in needs if isinstance(need, int)]
    if lengths:
        return max(lengths)
    return "padded" if "padded" in needs else usual


def host_targets(table: FeatureTable) -> dict[str, np.ndarray]:
    """Targets and positions of features, as ``Head.num_targets`` reads them.

    Ragged targets lie one behind another; the head knows how to read them. Positions below 0
    become 0; positions beyond the feature become -1, which does not count.
    """
    targets = {name: np.asarray(column.values) for name, column in table.targets.items()}
    for name, column in table.positions.items():
        positions = np.maximum(np.asarray(column.values, dtype=np.int64), 0)
        limits = _per_value(table.lengths, column)
        targets[name] = np.where(positions < limits, positions, -1)
    return targets


def collate(
    table: FeatureTable,
    *,
    layout: Layout | int = "packed",
    tasks: Sequence[int] | None = None,
    device: torch.device | str = "cpu",
    assume_padding: bool = False,
    fast: bool = False,
    tight: bool = False,
    trim: bool = False,
) -> Batch:
    """A batch of all features of a table.

    Args:
        table: Features, usually ``table.take(indices)``.
        layout: ``packed``: real tokens, and up to 63 of padding that keep shapes few;
            ``padded``: rows of one length, a multiple of 8; a number: rows of so many tokens,
            unless one is longer.
        tasks: Task index of each row, ascending, for rows of several tasks; None means one task.
        device: Where the tensors go.
        assume_padding: As ``RowContext.of`` takes it.
        fast: As ``RowContext.of`` takes it.
        tight: Whether padded rows are just as long as the longest, and packed rows that hardly
            differ in length are padded, so that no token is moved for attention.
        trim: As ``RowContext.of`` takes it.

    Returns:
        The batch; positions count flat tokens of the batch, -1 where they do not count.
    """
    lengths = table.row_lengths
    layout, length = _form(lengths, layout, tight=tight)
    stored = stored_lengths(lengths, layout, length, token_multiple=TOKEN_MULTIPLE)
    place_of_token = places(lengths, np.cumsum(stored) - stored)

    def tokens(column: np.ndarray) -> torch.Tensor:
        flat = np.zeros(int(stored.sum()), dtype=np.int64)
        flat[place_of_token] = column
        return to_device(flat, device)

    types = table.tokens.get("token_type_ids")
    return Batch(
        input_ids_T=tokens(table.tokens["input_ids"]),
        token_type_ids_T=None if types is None else tokens(types),
        feature_of_row_R=to_device(_feature_of_row(table), device),
        targets={
            name: to_device(np.array(value, order="C"), device)  # never a file's memory
            for name, value in _flat_targets(table, place_of_token).items()
        },
        context=RowContext.of(
            lengths,
            layout=layout,
            tasks=tasks,
            length=length,
            token_multiple=TOKEN_MULTIPLE,
            device=device,
            assume_padding=assume_padding,
            fast=fast,
            trim=trim,
        ),
    )


def _form(lengths: np.ndarray, layout: Layout | int, *, tight: bool) -> tuple[Layout, int]:
    """The layout of rows, and the length of padded ones."""
    longest = int(lengths.max())
    length = longest if tight else -(-longest // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
    if isinstance(layout, int):
        return "padded", layout if longest <= layout else length
    if tight and longest * len(lengths) <= (1 + MOST_PADDING) * int(lengths.sum()):
        return "padded", length
    return layout, length


def _flat_targets(table: FeatureTable, place_of_token: np.ndarray) -> dict[str, np.ndarray]:
    """Targets of features, positions counted in the batch: (tokens,) has each token's place."""
    targets = host_targets(table)
    first = table.token_bounds[table.row_bounds[:-1]]
    for name, column in table.positions.items():
        counted = targets[name] >= 0
        flat = targets[name] + _per_value(first, column)
        targets[name] = np.where(counted, place_of_token[np.where(counted, flat, 0)], -1)
    return targets


def _feature_of_row(table: FeatureTable) -> np.ndarray:
    return np.repeat(np.arange(len(table)), np.diff(table.row_bounds))


def _per_value(values: np.ndarray, column: Column) -> np.ndarray:
    """One value per feature, shaped or repeated to go with the values of a column."""
    if column.bounds is not None:
        return np.repeat(values, np.diff(column.bounds))
    return values.reshape(-1, *(1,) * (column.values.ndim - 1))
