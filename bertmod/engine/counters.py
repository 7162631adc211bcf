"""How far a run has come."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bertmod.engine.tasks import TrainingTask
from bertmod.errors import CheckpointError


def beats(score: float, best: float, *, greater_is_better: bool = True) -> bool:
    """Whether a score is better than the best so far; any number is better than NaN."""
    if math.isnan(best):
        return not math.isnan(score)
    return score > best if greater_is_better else score < best


@dataclass
class Counters:
    """Counts and scores of a run; all that the next step depends on beside the model.

    Attributes:
        batches: Batches drawn per task.
        step: Optimizer steps finished.
        evaluated_at: Step of the newest evaluation; -1 before the first.
        scores: Scores of the newest evaluation, by ``task/split/metric``.
        best: Best score of each task's metric and its step.
    """

    batches: dict[str, int]
    step: int = 0
    evaluated_at: int = -1
    scores: dict[str, float] = field(default_factory=dict)
    best: dict[str, tuple[float, int]] = field(default_factory=dict)

    def record(
        self, tasks: Sequence[TrainingTask], scores: Mapping[str, float], main: Mapping[str, float]
    ) -> None:
        """Take in an evaluation.

        Args:
            tasks: All tasks.
            scores: Every score.
            main: Score of each task's metric, by task.
        """
        self.scores, self.evaluated_at = dict(scores), self.step
        for task in tasks:
            if task.id not in main:
                continue
            best = self.best.get(task.id)
            if best is None or beats(
                main[task.id], best[0], greater_is_better=task.greater_is_better
            ):
                self.best[task.id] = (main[task.id], self.step)

    def state_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return dict(vars(self))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back.

        Raises:
            CheckpointError: If the tasks or the keys are not those of this run.
        """
        if state.keys() != vars(self).keys() or state["batches"].keys() != self.batches.keys():
            raise CheckpointError(
                f"the checkpoint counts {sorted(state.get('batches', {}))}; "
                f"this run trains {sorted(self.batches)}"
            )
        vars(self).update(state)
        self.best = {task: (best[0], best[1]) for task, best in state["best"].items()}
