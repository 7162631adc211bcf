"""What a tracker promises."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

from bertmod.contracts.tracker import TrackerContext
from bertmod.testing.subject import Subject, require

RECIPE = {"schema_version": 1, "seed": 42, "tasks": [{"name": "cola"}]}
MARK = "discarded_after_resume"
"""Task of the steps that a resumed run must not find again."""


@contextmanager
def run_folder() -> Iterator[Path]:
    """An empty run folder."""
    with tempfile.TemporaryDirectory(prefix="bertmod-conformance-") as name:
        yield Path(name)


def build(subject: Subject, folder: Path) -> Any:
    """The tracker of a run."""
    return subject.spec.build(subject.config, TrackerContext(folder, deepcopy(RECIPE)))


def values_of(step: int, task: str = "cola") -> dict[str, Any]:
    """What the engine tells of a step."""
    return {
        "task": task,
        "loss": 1.0 / step,
        "losses": {"classification": 1.0 / step},
        "grad_norm": 0.5,
        "learning_rates": {"encoder": 2e-5, "heads": 2e-5},
        "features": 32,
        "tokens": 640,
    }


def whole_run(subject: Subject) -> None:
    """It takes steps, evaluations and checkpoints in the order of a run, and close at the end."""
    with run_folder() as folder:
        tracker = build(subject, folder)
        for step in range(1, 25):
            tracker.stepped(step, values_of(step))
            if step % 8 == 0:
                tracker.evaluated(step, {"cola/dev/matthews": 0.1 * step, "mean": 0.1 * step})
                tracker.saved(step, folder / "checkpoints" / f"step-{step:08d}")
        tracker.close()


def short_runs(subject: Subject) -> None:
    """It may be closed before anything happened, twice, and after a failed first step; a run may
    resume where nothing was recorded.
    """
    with run_folder() as folder:
        tracker = build(subject, folder)
        tracker.close()
        tracker.close()
        again = build(subject, folder)
        again.resumed(0)
        again.stepped(1, values_of(1))
        again.close()


def values_kept(subject: Subject) -> None:
    """What it is told is left as it is: other trackers hear the same objects."""
    with run_folder() as folder:
        tracker = build(subject, folder)
        values, scores = values_of(1), {"cola/dev/matthews": 0.5}
        tracker.stepped(1, values)
        tracker.evaluated(1, scores)
        tracker.close()
    require(values == values_of(1), "stepped changes the values it is given")
    require(scores == {"cola/dev/matthews": 0.5}, "evaluated changes the scores it is given")


def resumed_discards(subject: Subject) -> None:
    """After resumed(step), rows of later steps are gone from the text files it writes."""
    with run_folder() as folder:
        first = build(subject, folder)
        for step in range(1, 21):
            first.stepped(step, values_of(step, "cola" if step <= 10 else MARK))
        first.evaluated(20, {f"{MARK}/dev/accuracy": 0.5})
        first.close()
        second = build(subject, folder)
        second.resumed(10)
        second.stepped(11, values_of(11))
        second.close()
        left = [path.name for path in folder.rglob("*") if _has_mark(path)]
    require(not left, f"{left} still has rows of steps after the one that was resumed from")


CHECKS = (whole_run, short_runs, values_kept, resumed_discards)


def _has_mark(path: Path) -> bool:
    """Whether a text file names the discarded task; binary ones hide rows in their own way."""
    if not path.is_file():
        return False
    try:
        return MARK in path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return False
