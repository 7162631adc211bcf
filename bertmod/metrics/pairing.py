"""The check that every metric begins with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def paired(labels: Sequence[Any], predictions: Sequence[Any]) -> bool:
    """Whether there is anything to score.

    Raises:
        ValueError: If there are not as many predictions as labels.
    """
    if len(labels) != len(predictions):
        raise ValueError(f"{len(predictions)} predictions for {len(labels)} labels")
    return len(labels) > 0
