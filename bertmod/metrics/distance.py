"""Distances of values from their labels: the smaller the better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bertmod.metrics.pairing import paired


def rmse(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Root of the mean squared error.

    Args:
        labels: The right values, one per example, any unit.
        predictions: The given values in the same order and unit.

    Returns:
        A distance in the same unit, at least 0; NaN if a value is not a number.

    Raises:
        ValueError: If there are no examples, or not as many predictions as labels.
    """
    return float(np.sqrt(np.mean(_errors(labels, predictions) ** 2)))


def mae(labels: Sequence[float], predictions: Sequence[float]) -> float:
    """Mean absolute error.

    Args:
        labels: The right values, one per example, any unit.
        predictions: The given values in the same order and unit.

    Returns:
        A distance in the same unit, at least 0; NaN if a value is not a number.

    Raises:
        ValueError: If there are no examples, or not as many predictions as labels.
    """
    return float(np.mean(np.abs(_errors(labels, predictions))))


def _errors(labels: Sequence[float], predictions: Sequence[float]) -> np.ndarray:
    """Differences, (examples,), float64."""
    if not paired(labels, predictions):
        raise ValueError("no examples: their distance is undefined")
    return np.asarray(predictions, np.float64) - np.asarray(labels, np.float64)
