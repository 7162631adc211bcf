"""Samplers that ignore how large the tasks are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bertmod import SamplerContext
from bertmod.builtin.samplers.running import StatelessSampler, probabilities_over, running_mask


class RoundRobin(StatelessSampler):
    """The running tasks in turn, in the recipe's order, one optimizer step each.

    Args:
        context: The tasks.
    """

    def __init__(self, context: SamplerContext) -> None:
        self._tasks = context.tasks

    def probabilities(
        self, step: int, epoch: int, num_epochs: int, running: frozenset[str]
    ) -> np.ndarray:
        """All of the probability on the task whose turn it is.

        Args:
            step: Optimizer steps finished so far, from 0.
            epoch: Ignored.
            num_epochs: Ignored.
            running: Tasks that still train; the turn passes over the others.

        Returns:
            (tasks,), float64: one 1, else 0.

        Raises:
            ValueError: If ``running`` is empty or names other tasks.
        """
        del epoch, num_epochs
        candidates = np.flatnonzero(running_mask(self._tasks, running))
        result = np.zeros(len(self._tasks))
        result[candidates[step % len(candidates)]] = 1.0
        return result


class Explicit(StatelessSampler):
    """Probability proportional to the recipe's weights.

    Args:
        context: The tasks.
        weights: Weight of each task of the context, unitless, not negative.
    """

    def __init__(self, context: SamplerContext, *, weights: Mapping[str, float]) -> None:
        self._tasks = context.tasks
        self._weights = np.array([weights[task] for task in context.tasks], dtype=np.float64)

    def probabilities(
        self, step: int, epoch: int, num_epochs: int, running: frozenset[str]
    ) -> np.ndarray:
        """Probability of each task, the same at every step.

        Args:
            step: Ignored.
            epoch: Ignored.
            num_epochs: Ignored.
            running: Tasks that still train.

        Returns:
            (tasks,), float64, sums to 1; 0 for stopped tasks.

        Raises:
            TrainingError: If every running task has weight 0.
            ValueError: If ``running`` is empty or names other tasks.
        """
        del step, epoch, num_epochs
        return probabilities_over(self._weights, self._tasks, running)
