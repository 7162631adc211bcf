"""A run's curves for TensorBoard."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

# TensorBoard imports TensorFlow where it is installed, for seconds and many lines of log, only to
# open files; this module's presence tells it to open them itself.
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))

from torch.utils.tensorboard import SummaryWriter  # noqa: E402

FOLDER_NAME = "tensorboard"


class TensorBoardTracker:
    """Writes event files into the folder ``tensorboard`` of the run folder.

    A step's loss is the curve ``loss/<task>``; a mapping such as the learning rates becomes one
    curve per entry (``learning_rate/encoder``); other numbers are ``step/<name>``, and scores are
    called as they come (``cola/dev/matthews``).

    Args:
        folder: The run folder.
        every_steps: Write a task's steps at most once in each window of this many optimizer
            steps, positive: windows rather than multiples, since a rare task may never be drawn
            at a multiple.
    """

    def __init__(self, folder: Path, *, every_steps: int = 10) -> None:
        self._folder = folder / FOLDER_NAME
        self._every_steps = every_steps
        self._purge_step: int | None = None
        self._windows: dict[Any, int] = {}
        self._writer: SummaryWriter | None = None

    def resumed(self, step: int) -> None:
        """Hide what was recorded after a step, in the event files that follow."""
        self.close()
        self._purge_step = step + 1
        self._windows.clear()

    def stepped(self, step: int, values: Mapping[str, Any]) -> None:
        """Write a step's loss, learning rates and other numbers, once per task and window."""
        task = values.get("task")
        window = step // self._every_steps
        if self._windows.get(task) == window:
            return
        self._windows[task] = window
        for tag, value in step_curves(values):
            self._open().add_scalar(tag, value, step)

    def evaluated(self, step: int, scores: Mapping[str, float]) -> None:
        """Write the dev scores, and all that came before them, to disk."""
        writer = self._open()
        for name, score in scores.items():
            writer.add_scalar(name, score, step)
        writer.flush()

    def saved(self, step: int, path: Path) -> None:
        """Write to disk what came before the checkpoint."""
        del step, path
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Close the event file; a later event opens another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> SummaryWriter:
        if self._writer is None:
            self._writer = SummaryWriter(str(self._folder), purge_step=self._purge_step)
            self._purge_step = None
        return self._writer


def step_curves(values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Names and points of the curves that a step's values go to; text is passed over."""
    task = values.get("task")
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}/{name}", v) for name, v in value.items() if _is_number(v))
        elif _is_number(value):
            own = key == "loss" and task is not None
            yield f"loss/{task}" if own else f"step/{key}", value


def _is_number(value: Any) -> bool:
    """Whether it is a number, numpy's and one-entry tensors included."""
    plain = value.item() if hasattr(value, "item") else value
    return isinstance(plain, int | float) and not isinstance(plain, bool)
