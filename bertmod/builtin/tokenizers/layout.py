"""Pieces of texts to rows of an encoder, without a loop over texts."""

from __future__ import annotations

import numpy as np

from bertmod.contracts.tokenizer import PieceTable, RowTable
from bertmod.data.ragged import bounds_of, runs


def truncated_lengths(
    first_N: np.ndarray, second_N: np.ndarray, budget_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pieces that two texts keep when the longer one loses its last, over and over.

    Args:
        first_N: Pieces of the first texts, (pairs,), any integer dtype.
        second_N: Pieces of the second texts, (pairs,); on a tie they lose.
        budget_N: Most pieces that a pair may keep, (pairs,), at least 0.

    Returns:
        Pieces kept of the first and of the second texts, (pairs,) each.

    Source: ``_truncate_seq_pair`` of google-research/bert run_classifier.py.
    """
    excess_N = np.maximum(first_N + second_N - budget_N, 0)
    lead_N = np.minimum(excess_N, np.maximum(first_N - second_N, 0))
    lag_N = np.minimum(excess_N, np.maximum(second_N - first_N, 0))
    rest_N = excess_N - lead_N - lag_N
    return first_N - lead_N - rest_N // 2, second_N - lag_N - (rest_N + 1) // 2


def lay_rows(
    first: PieceTable, second: PieceTable | None, *, max_length: int, cls: int, sep: int
) -> RowTable:
    """Rows ``[CLS] A [SEP]`` and ``[CLS] A [SEP] B [SEP]``.

    Args:
        first: First texts.
        second: Second texts, as many, or None; one without pieces is dropped with its [SEP].
        max_length: Longest row in tokens, special tokens counted, at least 2.
        cls: Index of [CLS].
        sep: Index of [SEP].

    Raises:
        ValueError: If ``max_length`` leaves no room for the special tokens, or the numbers of
            texts differ.
    """
    if max_length < 2:
        raise ValueError(f"max_length is {max_length}; [CLS] and [SEP] alone take 2")
    if second is not None and len(second) != len(first):
        raise ValueError(f"{len(first)} first texts but {len(second)} second texts")
    full_first_N = np.diff(first.bounds)
    full_second_N = np.zeros_like(full_first_N) if second is None else np.diff(second.bounds)
    budget_N = np.maximum(max_length - 2 - (full_second_N > 0), 0)
    first_N, second_N = truncated_lengths(full_first_N, full_second_N, budget_N)
    tail_N = np.where(second_N > 0, second_N + 1, 0)
    bounds = bounds_of(first_N + 2 + tail_N)
    input_ids = np.full(bounds[-1], sep, np.int32)
    token_type_ids = np.zeros(bounds[-1], np.uint8)
    input_ids[bounds[:-1]] = cls
    _copy(input_ids, bounds[:-1] + 1, first, first_N)
    if second is not None:
        start_N = bounds[:-1] + first_N + 2
        _copy(input_ids, start_N, second, second_N)
        token_type_ids[runs(start_N, tail_N)] = 1
    return RowTable(
        input_ids=input_ids,
        token_type_ids=token_type_ids,
        bounds=bounds,
        truncated=(first_N < full_first_N) | (second_N < full_second_N),
    )


def _copy(target: np.ndarray, start_N: np.ndarray, table: PieceTable, kept_N: np.ndarray) -> None:
    """Write the first ``kept_N`` pieces of every text at ``start_N`` of the target."""
    target[runs(start_N, kept_N)] = table.ids[runs(table.bounds[:-1], kept_N)]
