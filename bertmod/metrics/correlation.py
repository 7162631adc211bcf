"""Correlations of values: Pearson and Spearman."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from bertmod.metrics.libraries import require_installed
from bertmod.metrics.pairing import paired


def pearson(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Pearson's correlation of values with their labels.

    Args:
        labels: The right values, one per example, any unit.
        predictions: The given values in the same order, any unit.

    Returns:
        A correlation in [-1, 1]; 0.0 where it is undefined: fewer than two examples, labels or
        predictions that are all equal or not all finite.

    Raises:
        ValueError: If there are not as many predictions as labels.
    """
    return _correlation("pearsonr", labels, predictions)


def spearman(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Spearman's rank correlation of values with their labels, ties at their mean rank.

    Args:
        labels: The right values, one per example, any unit.
        predictions: The given values in the same order, any unit.

    Returns:
        A correlation in [-1, 1]; 0.0 where it is undefined: fewer than two examples, labels or
        predictions that are all equal or not all finite.

    Raises:
        ValueError: If there are not as many predictions as labels.
    """
    return _correlation("spearmanr", labels, predictions)


def _correlation(function: str, labels: Sequence[float], predictions: Sequence[float]) -> float:
    """What a function of ``scipy.stats`` says, by its name."""
    require_installed("scipy")
    paired(labels, predictions)
    pair = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    if not all(_varies(values) for values in pair):
        return 0.0  # baselines are: training begins without the import, which takes long
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values so close together that rounding decides
        result = float(getattr(stats, function)(*pair).statistic)
    return result if np.isfinite(result) else 0.0


def _varies(values: np.ndarray) -> bool:
    return len(values) > 1 and bool(np.isfinite(values).all()) and np.ptp(values) > 0
