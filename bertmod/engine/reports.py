"""What progress and trackers hear of steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from bertmod.engine.progress import Progress
from bertmod.engine.step import StepResult
from bertmod.engine.trackers import Trackers

Waiting = tuple[int, str, Callable[[], StepResult]]


class Reports:
    """Tells of every step, in their order.

    Args:
        progress: What a person sees.
        trackers: What keeps it.
        ahead: Steps that may be under way before the one before them is told.
    """

    def __init__(self, progress: Progress, trackers: Trackers, *, ahead: int) -> None:
        self._progress, self._trackers, self._ahead = progress, trackers, ahead
        self._waiting: deque[Waiting] = deque()

    def started(self, step: int, task: str, result: Callable[[], StepResult]) -> None:
        """A step was asked for.

        Args:
            step: Its number, from 1.
            task: Its task.
            result: As ``Stepper.start`` gives it.

        Raises:
            TrainingError: If a step that is told now is not finite.
        """
        self._waiting.append((step, task, result))
        while len(self._waiting) > self._ahead:
            self._tell()

    def finish(self) -> None:
        """Wait for all steps that were asked for, and tell them.

        Raises:
            TrainingError: If one is not finite.
        """
        while self._waiting:
            self._tell()

    def _tell(self) -> None:
        step, task, wait = self._waiting.popleft()
        result = wait()
        if result.retries:
            self._progress.say(f"step {step}, task {task}: {result.retried}")
        self._progress.stepped(step, task, result)
        self._trackers.stepped(step, {"task": task, **result.values()})
