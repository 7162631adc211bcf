"""What a schedule is: a multiplier of the learning rate."""

from __future__ import annotations

from typing import Protocol


class Schedule(Protocol):
    """Learning-rate multiplier as a function of the step."""

    def __call__(self, step: int, total: int) -> float:
        """The multiplier, usually in [0, 1].

        Args:
            step: Optimizer steps finished so far, from 0.
            total: Length of the run in optimizer steps.
        """
        ...
