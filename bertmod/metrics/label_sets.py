"""Scores of one label per example or of any number: F1 over all labels, exact match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertmod.metrics.pairing import paired

Labels = Any  # one label, or a list of those that an example has


def macro_f1(labels: Sequence[Labels], predictions: Sequence[Labels]) -> float:
    """Mean over labels of the harmonic mean of precision and recall.

    Args:
        labels: The right label, or list of labels, of each example.
        predictions: The given ones in the same order.

    Returns:
        A value in [0, 1]; a label that neither side has anywhere is left out of the mean; 0.0 if
        there is none at all.

    Raises:
        ValueError: If there are not as many predictions as labels.
    """
    both, either = _counts(labels, predictions)
    return float(np.mean(2 * both / either)) if len(either) else 0.0


def micro_f1(labels: Sequence[Labels], predictions: Sequence[Labels]) -> float:
    """Harmonic mean of precision and recall of all labels together.

    Args:
        labels: The right label, or list of labels, of each example.
        predictions: The given ones in the same order.

    Returns:
        A value in [0, 1]; of one label per example it is the accuracy; 0.0 if no example has a
        label on either side.

    Raises:
        ValueError: If there are not as many predictions as labels.
    """
    both, either = _counts(labels, predictions)
    return float(2 * both.sum() / either.sum()) if len(either) else 0.0


def exact_match(labels: Sequence[Labels], predictions: Sequence[Labels]) -> float:
    """Share of examples that have just the right labels, in any order.

    Args:
        labels: The right label, or list of labels, of each example.
        predictions: The given ones in the same order.

    Returns:
        A share in [0, 1]; 0.0 for no examples.

    Raises:
        ValueError: If there are not as many predictions as labels.
    """
    if not paired(labels, predictions):
        return 0.0
    pairs = _pairs(labels, predictions)
    return sum(count for (a, b), count in pairs.items() if _set(a) == _set(b)) / len(labels)


def _counts(
    labels: Sequence[Labels], predictions: Sequence[Labels]
) -> tuple[np.ndarray, np.ndarray]:
    """Per label: examples where both sides have it; the sum of those where each side has it."""
    paired(labels, predictions)
    both, either = Counter[Any](), Counter[Any]()
    for (label, prediction), count in _pairs(labels, predictions).items():
        right, given = _set(label), _set(prediction)
        for name in right & given:
            both[name] += count
        for name in (*right, *given):
            either[name] += count
    return np.array([both[name] for name in either]), np.array(list(either.values()))


def _pairs(labels: Sequence[Labels], predictions: Sequence[Labels]) -> Counter[tuple[Any, Any]]:
    """How often each right answer meets each given one; there are few, however many examples."""
    return Counter(zip(map(_key, labels), map(_key, predictions), strict=True))


def _key(labels: Labels) -> Any:
    return tuple(labels) if isinstance(labels, list) else labels


def _set(labels: Any) -> frozenset[Any]:
    several = isinstance(labels, list | tuple | set | frozenset)
    return frozenset(labels if several else [labels])
