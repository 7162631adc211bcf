"""How features are put together where nothing is learnt."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MOST_TOKENS = 2048
"""Tokens that a CPU answers at once: what a layer makes of them stays in its cache."""


def batches_by_length(
    lengths: np.ndarray, batch_size: int, most_tokens: int | None = None
) -> Iterator[np.ndarray]:
    """Indices of features of similar length, longest first, (up to batch_size,), int64.

    Args:
        lengths: Tokens of each feature, (features,), any integer dtype.
        batch_size: Features per batch, positive.
        most_tokens: Tokens of a batch as if each feature were as long as the longest; one feature
            may have more. None: any number.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        size = batch_size
        if most_tokens is not None:
            size = min(size, max(1, most_tokens // max(1, int(lengths[order[start]]))))
        yield order[start : start + size]
        start += size


def mixed_batches(
    tasks: np.ndarray, lengths: np.ndarray, batch_size: int, *, most_tokens: int | None = None
) -> Iterator[np.ndarray]:
    """Indices of features of similar length: batches of one task first, then of what is left.

    A batch of one task has no small pieces: it is the fastest where a task can fill it.

    Args:
        tasks: Task number of each feature, (features,), int64.
        lengths: Tokens of each feature, (features,), int64.
        batch_size: Features per batch, positive.
        most_tokens: As ``batches_by_length`` takes it.

    Returns:
        Arrays of up to ``batch_size`` indices, int64, longest features first in each kind.
    """
    rest = []
    for number in np.unique(tasks):
        *full, last = batches_by_length(
            lengths[own := np.flatnonzero(tasks == number)], batch_size, most_tokens
        )
        yield from (own[indices] for indices in full)
        if most_tokens is None and len(last) == batch_size:
            yield own[last]
        else:
            rest.append(own[last])
    if rest:
        left = np.concatenate(rest)
        for indices in batches_by_length(lengths[left], batch_size, most_tokens):
            yield left[indices]
