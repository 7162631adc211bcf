"""What a metric is: one number from all predictions of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Metric(Protocol):
    """A score over a whole split.

    Attributes:
        greater_is_better: Whether a higher score is better.
    """

    @property
    def greater_is_better(self) -> bool: ...

    def __call__(self, labels: Sequence[Any], predictions: Sequence[Any]) -> float:
        """The score.

        Args:
            labels: The right answers, one per example, as the task reads them.
            predictions: The given answers in the same order.
        """
        ...
