"""When a run ends before its last step: tasks that no longer get better, and a limit of time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from bertmod.engine.counters import Counters
from bertmod.errors import CheckpointError, TrainingError


class EarlyStop:
    """Stops each task that has not become better in so many evaluations.

    An evaluation counts for a task if the task made a step since the last one that did; so a task
    that is seldom drawn is not stopped for want of steps. A stopped task is drawn no more. It is
    still scored, since what the others train may be its encoder too.

    Args:
        patience: Task id to the evaluations without a better score after which it stops, positive;
            None: it never stops.

    Attributes:
        stopped: Tasks that were stopped, and the step after which.
    """

    def __init__(self, patience: Mapping[str, int | None]) -> None:
        self._patience = dict(patience)
        self._waited: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self.stopped: dict[str, int] = {}

    @property
    def used(self) -> bool:
        """Whether any task may stop."""
        return any(patience is not None for patience in self._patience.values())

    @property
    def running(self) -> frozenset[str]:
        """Tasks that still train."""
        return frozenset(self._patience) - self.stopped.keys()

    def evaluated(self, counters: Counters, scored: Collection[str]) -> list[str]:
        """Hear of an evaluation that the counters have taken in.

        Args:
            counters: Batches and best scores of the tasks.
            scored: Tasks that it scored.

        Returns:
            A line on each task that stops here.
        """
        lines = []
        for task, patience in self._patience.items():
            if patience is None or task in self.stopped or task not in scored:
                continue
            self._count(task, counters)
            if self._waited[task] >= patience:
                self.stopped[task] = counters.step
                score, step = counters.best[task]
                lines.append(
                    f"task {task} stops after step {counters.step}: not better than "
                    f"{score:.4f} at step {step} in {patience} evaluations"
                )
        return lines

    def over(self, draw: Callable[[frozenset[str]], object]) -> bool:
        """Whether stopped tasks leave none to train.

        Args:
            draw: The sampler's probabilities over running tasks; it raises TrainingError where it
                can draw none of them, as when all have weight 0.
        """
        if not self.stopped or not self.running:
            return bool(self.stopped)
        try:
            draw(self.running)
        except TrainingError:
            return True
        return False

    def state_dict(self) -> dict[str, Any]:
        """Evaluations waited and batches at the last one that counted, by task, and who stopped."""
        return {
            "waited": dict(self._waited),
            "seen": dict(self._seen),
            "stopped": dict(self.stopped),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back.

        Raises:
            CheckpointError: If the keys are not the expected ones, or a task is unknown.
        """
        if state.keys() != self.state_dict().keys():
            raise CheckpointError(f"unknown state of the early stop: {sorted(state)}")
        if unknown := {task for part in state.values() for task in part} - self._patience.keys():
            raise CheckpointError(f"the checkpoint stopped or waited for {sorted(unknown)}")
        self._waited, self._seen = dict(state["waited"]), dict(state["seen"])
        self.stopped = dict(state["stopped"])

    def _count(self, task: str, counters: Counters) -> None:
        batches = counters.batches[task]
        if counters.best[task][1] == counters.step:
            self._waited[task] = 0
        else:
            self._waited[task] = self._waited.get(task, 0) + (batches > self._seen.get(task, 0))
        self._seen[task] = batches


class TimeLimit:
    """Counts the time that a run has trained, evaluated and saved, before a resume too.

    Args:
        minutes: When it is up, positive; None: never.
    """

    def __init__(self, minutes: float | None) -> None:
        self.minutes = minutes
        self._before, self._began = 0.0, time.monotonic()

    @property
    def used(self) -> bool:
        """Whether there is a limit."""
        return self.minutes is not None

    @property
    def seconds(self) -> float:
        """Time of the run so far, seconds."""
        return self._before + time.monotonic() - self._began

    @property
    def up(self) -> bool:
        """Whether the limit is reached."""
        return self.minutes is not None and self.seconds >= 60 * self.minutes

    def start(self) -> None:
        """The run begins, or goes on, now."""
        self._began = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """The time so far."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it back.

        Raises:
            CheckpointError: If the keys are not the expected ones.
        """
        if state.keys() != {"seconds"}:
            raise CheckpointError(f"unknown state of the time limit: {sorted(state)}")
        self._before = float(state["seconds"])
