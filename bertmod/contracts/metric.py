"""What a metric is: one number from all predictions of a split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

OWN_LOW = ("loss", "perplexity")
"""Ends of the names of scores that a task makes itself and of which a lower one is better."""


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


def higher_is_better(name: str, metric: Metric | None) -> bool:
    """Whether a higher score of this name is better.

    Args:
        name: Name of the metric, as the task's spec has it.
        metric: The installed metric of that name; None if the score is of the task's own making.
    """
    return not name.endswith(OWN_LOW) if metric is None else metric.greater_is_better
