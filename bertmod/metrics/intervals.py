"""Confidence intervals of scores, from the rows of one split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Interval = tuple[float, float]


def bootstrap_intervals(
    scores: Callable[[np.ndarray], Mapping[str, float]],
    num_rows: int,
    *,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 42,
) -> dict[str, Interval]:
    """Between which values each score lies had the split been drawn again.

    Each resample has as many rows as the split, drawn with replacement; an interval runs between
    percentiles of the scores that the resamples get. It tells of the choice of rows alone, not of
    what another seed of the training would give.

    Args:
        scores: From row numbers, (rows,), int64, to every score of the split of just these rows.
        num_rows: Rows of the split, positive.
        confidence: Share of the resamples inside the interval, in (0, 1).
        num_resamples: How often rows are drawn, at least 2.
        seed: Seed of the draws: the same one draws the same rows for whatever is scored.

    Returns:
        Score to (low, high); of a split of one row both are the score.

    Source: Efron 1979, The Annals of Statistics 7: the percentile method, by scipy.
    """
    from scipy.stats import bootstrap

    rows = np.arange(num_rows)
    names = list(scores(rows))
    if num_rows == 1 or not names:
        return {name: (value, value) for name, value in scores(rows).items()}

    def statistic(drawn: np.ndarray, axis: int) -> np.ndarray:
        """All scores of each resample, (scores, resamples), so that rows are drawn once for all."""
        assert axis == -1
        found = [scores(each) for each in np.atleast_2d(drawn)]
        return np.array([[each[name] for each in found] for name in names])

    options: Any = {"random_state": np.random.default_rng(seed)}
    result = bootstrap(
        (rows,),
        statistic,
        n_resamples=num_resamples,
        batch=1,  # the rows of one resample in memory, not those of all
        vectorized=True,
        axis=-1,
        confidence_level=confidence,
        method="percentile",
        **options,
    )
    limits = np.asarray(result.confidence_interval)
    return {
        name: (float(low), float(high)) for name, (low, high) in zip(names, limits.T, strict=True)
    }
