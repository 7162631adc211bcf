"""Learning-rate multipliers as functions of the step, each behind a linear warm-up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Warmup:
    """The rise from 0 to 1 at the beginning of a run.

    Attributes:
        proportion: Share of the run, in [0, 1]; used where ``steps`` is None.
        steps: Length in optimizer steps, 0 or more, or None.
    """

    proportion: float = 0.0
    steps: int | None = None

    def length(self, total: int) -> float:
        """Length in optimizer steps of a run of ``total`` steps, possibly not whole."""
        return float(self.steps) if self.steps is not None else self.proportion * total

    def multiplier(self, step: int, total: int) -> float | None:
        """The multiplier during the warm-up, in [0, 1); None once it is over."""
        if self.steps is not None:
            return step / self.steps if step < self.steps else None
        progress = step / total
        return progress / self.proportion if progress < self.proportion else None


@dataclass(frozen=True)
class WarmedUp:
    """A warm-up, then a shape over the whole run.

    The shape sees the progress from the beginning of the run: with 10 % of warm-up the linear
    decay goes from nearly 1 to 0.9 within one step, as Google's does. ``anchored`` at the
    warm-up's end it begins at 1 there, as transformers' does.

    Attributes:
        warmup: The warm-up.
        shape: Progress in [0, 1] to the multiplier after the warm-up.
        anchored: Whether progress counts from the warm-up's end.
    """

    warmup: Warmup
    shape: Callable[[float], float]
    anchored: bool = False

    def __call__(self, step: int, total: int) -> float:
        """The multiplier, in [0, 1].

        Args:
            step: Optimizer steps finished so far, from 0; past ``total`` the run's end counts.
            total: Length of the run in optimizer steps, positive.

        Raises:
            ValueError: If ``step`` is negative or ``total`` not positive.
        """
        if step < 0 or total <= 0:
            raise ValueError(f"step {step} of {total}: need step >= 0 and total > 0")
        rising = self.warmup.multiplier(step, total)
        if rising is not None:
            return rising
        start = self.warmup.length(total) if self.anchored else 0.0
        return self.shape(min((step - start) / (total - start), 1.0) if start < total else 1.0)


def linear(progress: float) -> float:
    """Straight from 1 at progress 0 to 0 at progress 1."""
    return 1.0 - progress


def cosine(progress: float) -> float:
    """Half a cosine wave from 1 at progress 0 to 0 at progress 1."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def constant(progress: float) -> float:
    """1 throughout."""
    del progress
    return 1.0
