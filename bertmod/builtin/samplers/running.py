"""What all built-in samplers share: no state, and probabilities over the running tasks alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bertmod import CheckpointError, TrainingError


class StatelessSampler:
    """The part of a sampler that keeps nothing between steps."""

    def observe(self, step: int, scores: Mapping[str, float]) -> None:
        """Dev scores change nothing here."""

    def state_dict(self) -> Mapping[str, Any]:
        """Nothing: the probabilities follow from the step and the options."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back the empty state.

        Raises:
            CheckpointError: If the state was saved by a sampler that has one.
        """
        if state:
            raise CheckpointError(
                f"the checkpoint's sampler state has {', '.join(sorted(state))}, but this recipe's "
                "sampler keeps no state: resume with the sampler that the run was started with"
            )


def running_mask(tasks: tuple[str, ...], running: frozenset[str]) -> np.ndarray:
    """Which of the tasks still train.

    Args:
        tasks: Ids of the tasks that train, in the recipe's order.
        running: Those that have not been stopped; at least one.

    Returns:
        (tasks,), bool.

    Raises:
        ValueError: If no task runs, or one runs that the sampler was not built with.
    """
    unknown = running.difference(tasks)
    if unknown or not running:
        found = ", ".join(sorted(unknown)) or "no task at all"
        raise ValueError(f"running must name some of {', '.join(tasks)}; it has {found}")
    return np.array([task in running for task in tasks])


def probabilities_over(
    weights: np.ndarray, tasks: tuple[str, ...], running: frozenset[str]
) -> np.ndarray:
    """Weights as probabilities of the tasks that still train.

    Args:
        weights: Weight per task, (tasks,), any real dtype, finite, not negative.
        tasks: Ids of the tasks, in the order of the weights.
        running: Those that still train.

    Returns:
        (tasks,), float64, sums to 1; 0 for stopped tasks.

    Raises:
        TrainingError: If every running task has weight 0.
        ValueError: As ``running_mask``.
    """
    kept = np.where(running_mask(tasks, running), weights, 0.0)
    largest = kept.max()
    if largest == 0:
        raise TrainingError(
            f"the tasks that still train ({', '.join(sorted(running))}) all have sampling weight "
            "0, so no task can be drawn: give one of them a weight, or let no other task stop early"
        )
    kept /= largest  # before the sum, which could overflow otherwise
    return np.asarray(kept / kept.sum())
