"""Pieces of flat arrays: where they begin, and how some of them are taken.

Letters: N runs or pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bertmod.contracts.tokenizer import PieceTable


def bounds_of(length_N: np.ndarray | Sequence[int]) -> np.ndarray:
    """Where each of some pieces begins and the last one ends, (pieces + 1,), int64.

    Args:
        length_N: Entries of each piece, (pieces,), any integer dtype.
    """
    bounds = np.zeros(len(length_N) + 1, np.int64)
    np.cumsum(length_N, out=bounds[1:])
    return bounds


def runs(start_N: np.ndarray, length_N: np.ndarray) -> np.ndarray:
    """Indices of runs of consecutive places, one run behind another, (summed lengths,), int64.

    Args:
        start_N: First place of each run, (runs,), any integer dtype.
        length_N: Places of each run, (runs,), any integer dtype.
    """
    bounds = bounds_of(length_N)
    shift: np.ndarray = np.repeat(start_N - bounds[:-1], length_N)
    return shift + np.arange(bounds[-1])


def take_ragged(
    values: np.ndarray, bounds: np.ndarray, indices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pick pieces of a flat array.

    Args:
        values: All pieces one behind another, (entries, ...).
        bounds: Where each piece begins, (pieces + 1,), int64.
        indices: The pieces wanted, (wanted,), int64.

    Returns:
        The wanted pieces one behind another, and their bounds, (wanted + 1,), int64.
    """
    starts, lengths = bounds[indices], bounds[indices + 1] - bounds[indices]
    return np.asarray(values[runs(starts, lengths)]), bounds_of(lengths)


def take_pieces(table: PieceTable, start_N: np.ndarray, length_N: np.ndarray) -> PieceTable:
    """Some runs of a table's pieces as texts of their own.

    Args:
        table: Pieces of texts.
        start_N: First piece of each run, counted over all texts, (runs,), int64.
        length_N: Pieces of each run, (runs,), int64.
    """
    places = runs(start_N, length_N)
    return PieceTable(
        ids=table.ids[places],
        offsets=table.offsets[places],
        words=table.words[places],
        bounds=bounds_of(length_N),
    )
