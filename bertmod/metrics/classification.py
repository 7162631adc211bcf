"""Scores of classes: accuracy, F1 of one class, Matthews correlation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bertmod.metrics.libraries import require_installed
from bertmod.metrics.pairing import paired

Label = str | int


def accuracy(labels: Sequence[Label], predictions: Sequence[Label]) -> float:
    """Share of predictions that equal their label.

    Args:
        labels: The right classes, one per example.
        predictions: The given classes in the same order.

    Returns:
        A share in [0, 1]; 0.0 for no examples.

    Raises:
        ValueError: If there are not as many predictions as labels.
    """
    if not paired(labels, predictions):
        return 0.0
    return float(np.mean(_objects(labels) == _objects(predictions)))


def f1(labels: Sequence[Label], predictions: Sequence[Label], *, positive: Label = "1") -> float:
    """Harmonic mean of precision and recall of one class.

    Args:
        labels: The right classes, one per example.
        predictions: The given classes in the same order.
        positive: The class that counts; all others are the negative class.

    Returns:
        A value in [0, 1]; 0.0 where it is undefined: no example has the class or was given it.

    Raises:
        ValueError: If there are not as many predictions as labels.
    """
    if not paired(labels, predictions):
        return 0.0
    is_positive, given_positive = _objects(labels) == positive, _objects(predictions) == positive
    either = int(is_positive.sum()) + int(given_positive.sum())
    return 2 * int((is_positive & given_positive).sum()) / either if either else 0.0


def matthews(labels: Sequence[Label], predictions: Sequence[Label]) -> float:
    """Matthews correlation of two or more classes.

    Args:
        labels: The right classes, one per example.
        predictions: The given classes in the same order.

    Returns:
        A correlation in [-1, 1]; 0.0 where labels or predictions are all of one class.

    Raises:
        ValueError: If there are not as many predictions as labels.

    Source: Matthews 1975; Gorodkin 2004 for more than two classes.
    """
    require_installed("sklearn")
    if not paired(labels, predictions) or _constant(labels) or _constant(predictions):
        return 0.0  # baselines are: training begins without the import, which takes long
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(_codes(labels), _codes(predictions)))


def _objects(labels: Sequence[Label]) -> np.ndarray:
    """Labels as they are, so that 1 and "1" stay apart, (labels,)."""
    return np.array(labels, dtype=object)


def _codes(labels: Sequence[Label]) -> list[str]:
    """Labels as text of one type, so that 1 and "1" stay apart and sorting never fails."""
    return [repr(label) for label in labels]


def _constant(values: Sequence[Label]) -> bool:
    return len(set(values)) == 1
