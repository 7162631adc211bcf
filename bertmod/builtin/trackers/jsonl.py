"""A run's numbers as JSON lines."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

FILE_NAME = "metrics.jsonl"


class JsonlTracker:
    """Writes ``metrics.jsonl`` in the run folder, one line per step, evaluation and checkpoint.

    A line is an object with ``event`` (``step``, ``evaluation`` or ``checkpoint``), ``step`` and
    what the event brought. Numbers are written in full precision. JSON has no NaN and no
    infinity: such a number is null, and ``not_finite`` maps its path to what it was. Each line
    is handed to the operating system at once, so a kill costs at most a part of the last one.

    Args:
        folder: The run folder; it exists.
        every_steps: Write the steps whose number this divides, positive; evaluations and
            checkpoints are always written.
    """

    def __init__(self, folder: Path, *, every_steps: int = 1) -> None:
        self._folder = folder
        self._every_steps = every_steps
        self._file: IO[str] | None = None

    def resumed(self, step: int) -> None:
        """Rewrite the file without rows of later steps and without half-written lines.

        Args:
            step: Optimizer steps finished in the checkpoint that the run goes on from.

        Raises:
            OSError: If the file cannot be rewritten; it is then as it was.
        """
        self.close()
        path = self._folder / FILE_NAME
        if path.exists():
            drop_later_rows(path, step)

    def stepped(self, step: int, values: Mapping[str, Any]) -> None:
        """Write a step's values if its turn has come."""
        if step % self._every_steps == 0:
            self._write("step", step, values)

    def evaluated(self, step: int, scores: Mapping[str, float]) -> None:
        """Write an evaluation's scores, under ``scores``."""
        self._write("evaluation", step, {"scores": scores})

    def saved(self, step: int, path: Path) -> None:
        """Write where a checkpoint is, relative to the run folder if it lies inside."""
        inside = path.is_relative_to(self._folder)
        shown = path.relative_to(self._folder) if inside else path
        self._write("checkpoint", step, {"path": shown.as_posix()})

    def close(self) -> None:
        """Close the file; a later event opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, event: str, step: int, values: Mapping[str, Any]) -> None:
        if self._file is None:
            self._file = (self._folder / FILE_NAME).open("a", encoding="utf-8")
        self._file.write(json_line(event, step, values))
        self._file.flush()


def json_line(event: str, step: int, values: Mapping[str, Any]) -> str:
    """One line of the file, its newline included.

    Args:
        event: What happened.
        step: Optimizer steps finished.
        values: JSON values; numbers may be numpy's or one-entry tensors; keys ``event`` and
            ``step`` give way to the arguments.
    """
    not_finite: dict[str, str] = {}
    head = {"event": event, "step": step}
    row = head | {key: _plain(value, key, not_finite) for key, value in values.items()} | head
    if not_finite:
        row["not_finite"] = not_finite
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any, path: str, not_finite: dict[str, str]) -> Any:
    """A value as JSON can say it; what it cannot say is noted under its path."""
    if isinstance(value, Mapping):
        return {str(key): _plain(v, f"{path}.{key}", not_finite) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, f"{path}[{index}]", not_finite) for index, v in enumerate(value)]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        not_finite[path] = str(value)
        return None
    return value


def drop_later_rows(path: Path, step: int) -> None:
    """Rewrite a file of rows, keeping those up to a step.

    Lines that are not whole rows are dropped too: a kill leaves at most the last one so.

    Args:
        path: The file; it is replaced in one move, or not at all.
        step: The last step to keep.
    """
    writing = path.with_name(f".writing-{path.name}")
    with path.open("rb") as old, writing.open("wb") as new:
        for line in old:
            if _step_of(line) <= step:
                new.write(line.rstrip(b"\n") + b"\n")
        new.flush()
        os.fsync(new.fileno())
    writing.replace(path)


def _step_of(line: bytes) -> float:
    """The step of a row; infinity for what is not a whole row."""
    try:
        row = json.loads(line)
    except ValueError:
        return math.inf
    step = row.get("step") if isinstance(row, dict) else None
    return step if isinstance(step, int) else math.inf
