"""A sampler that hears dev scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bertmod import CheckpointError, SamplerContext, TrainingError

if TYPE_CHECKING:
    from bertmod_curriculum.plugin import CurriculumConfig

KEYS = ("distances", "baselines")


class Curriculum:
    """Draws a task in proportion to ``size ** size_exponent * distance ** (1 / temperature)``.

    A task's distance is how much of the way from its baseline to its goal lies before it: 1 at
    the baseline or worse, 0 at the goal or beyond, but at least ``floor``. Every task starts at 1.
    At each evaluation the distance moves towards that of the new score, ``smoothing`` of the old
    one staying.

    A task that knows no baseline counts its first score as one. A score that is not finite leaves
    its task's distance as it is, and so does a missing one.

    Args:
        config: Options.
        context: The tasks, their sizes, and what their scores mean.
    """

    def __init__(self, config: CurriculumConfig, context: SamplerContext) -> None:
        self._tasks = context.tasks
        self._sizes = np.asarray(context.sizes, dtype=np.float64) ** config.size_exponent
        self._floor, self._smoothing = config.floor, config.smoothing
        self._exponent = 1.0 / config.temperature
        self._greater_is_better = {
            task: task not in context.scored or context.scored[task].greater_is_better
            for task in context.tasks
        }
        self._goals = {
            task: config.goals.get(task, 1.0 if greater else 0.0)
            for task, greater in self._greater_is_better.items()
        }
        self._baselines = {
            task: float(info.baseline)
            for task, info in context.scored.items()
            if info.baseline is not None and math.isfinite(info.baseline)
        }
        self._distances = dict.fromkeys(context.tasks, 1.0)

    def probabilities(
        self, step: int, epoch: int, num_epochs: int, running: frozenset[str]
    ) -> np.ndarray:
        """Probability of each task at a step.

        Args:
            step: Ignored: only evaluations change the probabilities.
            epoch: Ignored.
            num_epochs: Ignored.
            running: Tasks that still train; the others get probability 0.

        Returns:
            (tasks,), float64, sums to 1.

        Raises:
            TrainingError: If no task runs that this sampler was built with.
        """
        del step, epoch, num_epochs
        distances = np.array([max(self._distances[task], self._floor) for task in self._tasks])
        runs = np.array([task in running for task in self._tasks])
        if not runs.any():
            raise TrainingError(f"none of the sampler's tasks runs: {', '.join(self._tasks)}")
        with np.errstate(divide="ignore"):
            logs = np.where(runs, np.log(self._sizes) + self._exponent * np.log(distances), -np.inf)
        weights = np.exp(logs - logs.max())  # a small temperature would underflow otherwise
        return np.asarray(weights / weights.sum())

    def observe(self, step: int, scores: Mapping[str, float]) -> None:
        """Move the tasks' distances towards what an evaluation found.

        Args:
            step: Ignored.
            scores: Score of each task's main metric.
        """
        del step
        for task, score in scores.items():
            if task not in self._distances or not math.isfinite(score):
                continue
            baseline = self._baselines.setdefault(task, float(score))
            found = distance(
                score,
                baseline=baseline,
                goal=self._goals[task],
                greater_is_better=self._greater_is_better[task],
            )
            kept = self._smoothing * self._distances[task]
            self._distances[task] = kept + (1.0 - self._smoothing) * found

    def state_dict(self) -> Mapping[str, Any]:
        """Distances and baselines by task."""
        return {"distances": dict(self._distances), "baselines": dict(self._baselines)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take distances and baselines back.

        Raises:
            CheckpointError: If the state is another sampler's, or of other tasks.
        """
        if set(state) != set(KEYS):
            raise CheckpointError(
                f'the checkpoint\'s sampler state has {_listed(state)}; the sampler "curriculum" '
                f"keeps {_listed(KEYS)}: resume with the sampler that the run was started with"
            )
        if set(state["distances"]) != set(self._tasks):
            raise CheckpointError(
                f"the checkpoint's sampler knows the tasks {_listed(state['distances'])}; this "
                f"run trains {_listed(self._tasks)}"
            )
        self._distances = {task: float(state["distances"][task]) for task in self._tasks}
        self._baselines = {task: float(score) for task, score in state["baselines"].items()}


def distance(score: float, *, baseline: float, goal: float, greater_is_better: bool) -> float:
    """How much of the way from a baseline to a goal is left.

    Args:
        score: Where a task stands, in the unit of its metric.
        baseline: Score without any learning, in the same unit.
        goal: Score of a task that is learnt, in the same unit.
        greater_is_better: Whether a higher score is better.

    Returns:
        In [0, 1]. If the baseline is no worse than the goal there is no way between them: 0 for a
        score at the goal or beyond, else 1.
    """
    sign = 1.0 if greater_is_better else -1.0
    left, whole = sign * (goal - score), sign * (goal - baseline)
    if left <= 0.0:
        return 0.0
    return min(left / whole, 1.0) if whole > 0.0 else 1.0


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"
