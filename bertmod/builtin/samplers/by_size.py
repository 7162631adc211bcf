"""Tasks drawn in proportion to a power of their number of training features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bertmod import SamplerContext
from bertmod.builtin.samplers.running import StatelessSampler, probabilities_over

Exponent = Callable[[int, int], float]
"""(epochs finished, length of the run in epochs) to the exponent of a task's size."""


class BySize(StatelessSampler):
    """Probability proportional to ``size ** exponent``.

    Args:
        context: The tasks and their sizes.
        exponent: The exponent of an epoch, unitless, in [0, 1].
        max_size: Sizes above it count as this many training features; None for no limit.
    """

    def __init__(
        self, context: SamplerContext, *, exponent: Exponent, max_size: float | None = None
    ) -> None:
        self._tasks = context.tasks
        self._sizes = checked_sizes(context)
        if max_size is not None:
            self._sizes = np.minimum(self._sizes, max_size)
        self._exponent = exponent

    def probabilities(
        self, step: int, epoch: int, num_epochs: int, running: frozenset[str]
    ) -> np.ndarray:
        """Probability of each task at a step.

        Args:
            step: Ignored.
            epoch: Epochs finished so far, in [0, num_epochs).
            num_epochs: Length of the run in epochs.
            running: Tasks that still train.

        Returns:
            (tasks,), float64, sums to 1; 0 for stopped tasks.

        Raises:
            ValueError: If the epoch is outside the run or ``running`` names other tasks.
        """
        del step
        weights = size_weights(self._sizes, self._exponent(epoch, num_epochs))
        return probabilities_over(weights, self._tasks, running)


def checked_sizes(context: SamplerContext) -> np.ndarray:
    """The sizes of a context as (tasks,), float64.

    Raises:
        ValueError: If there is not one positive, finite size per task.
    """
    sizes = np.asarray(context.sizes, dtype=np.float64)
    if sizes.shape != (len(context.tasks),):
        raise ValueError(f"{len(context.tasks)} tasks need as many sizes, not shape {sizes.shape}")
    if not np.all(np.isfinite(sizes) & (sizes > 0)):
        raise ValueError(f"sizes must be positive and finite: {sizes.tolist()}")
    return sizes


def size_weights(sizes: np.ndarray, exponent: float) -> np.ndarray:
    """Sizes raised to an exponent, relative to the largest.

    Args:
        sizes: Training features per task, (tasks,), float64, positive.
        exponent: Unitless; 1 is proportional to size, 0 is uniform.

    Returns:
        (tasks,), float64, in (0, 1].
    """
    return np.asarray((sizes / sizes.max()) ** exponent)


def steady(epoch: int, num_epochs: int, *, exponent: float) -> float:
    """The same exponent in every epoch."""
    del epoch, num_epochs
    return exponent


def annealed(epoch: int, num_epochs: int, *, drop: float) -> float:
    """Exponent that falls evenly from 1 in the first epoch to ``1 - drop`` in the last.

    Args:
        epoch: Epochs finished so far, in [0, num_epochs).
        num_epochs: Length of the run in epochs; a run of one epoch stays at 1.
        drop: Fall of the exponent by the last epoch, unitless, in [0, 1].

    Returns:
        The exponent, in [0, 1].

    Raises:
        ValueError: If ``epoch`` is outside the run.

    Source: Stickland and Murray 2019, arXiv:1902.02671, section 3.2.
    """
    if not 0 <= epoch < num_epochs:
        raise ValueError(f"epoch {epoch} is outside a run of {num_epochs} epochs")
    return 1.0 - drop * epoch / max(num_epochs - 1, 1)
