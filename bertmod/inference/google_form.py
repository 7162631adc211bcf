"""The files that google-research/bert writes of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bertmod.assemble.data import PreparedTask
from bertmod.contracts.task import Example, Prediction
from bertmod.data.tables import write_text
from bertmod.errors import DataError

TEST_RESULTS = "test_results.tsv"


def answers_spans(entry: PreparedTask) -> bool:
    """Whether a task's answers are spans of a text, whose files have the same names for all.

    Args:
        entry: A task of the run.
    """
    return _kinds(entry) == {"position"}


def without_google_form(entry: PreparedTask) -> str:
    """Why a task's predictions have no such files; empty if they have.

    Args:
        entry: A task of the run.
    """
    if answers_spans(entry) or _kinds(entry) == {"class"}:
        return ""
    return "google-research/bert has files for classes and for spans, not for its answers"


def require_google_form(entry: PreparedTask) -> None:
    """Refuse a task whose predictions have no such files.

    Raises:
        DataError: If they have none.
    """
    if reason := without_google_form(entry):
        raise DataError(f'--format google: task "{entry.slot.id}": {reason}')


def write_google_form(
    entry: PreparedTask,
    examples: Sequence[Example],
    predictions: Sequence[Prediction],
    folder: Path,
    *,
    split: str = "test",
) -> list[Path]:
    """Write predictions as google-research/bert does.

    Args:
        entry: The task, of classes or of spans.
        examples: What was answered.
        predictions: One per example.
        folder: Where the files go; made if it is not there.
        split: The test split that was answered, if it was one.

    Returns:
        The files: ``test_results.tsv`` of classes, a row of probabilities per example in the
        order of the label names, without header; what the task itself writes of spans.

    Raises:
        DataError: If the task has neither, or a file cannot be written.

    Source: google-research/bert, ``run_classifier.py`` and ``run_squad.py``.
    """
    require_google_form(entry)
    if answers_spans(entry):
        return entry.task.write(split, examples, predictions, folder)
    return [write_text(folder / TEST_RESULTS, "".join(map(_line, predictions)))]


def _kinds(entry: PreparedTask) -> set[str]:
    """Kinds of the targets of a task's features."""
    return set(entry.slot.spec.targets(entry.slot.config).values())


def _line(prediction: Prediction) -> str:
    """A row of probabilities, each with the digits that tell apart values of single precision."""
    values = (str(np.float32(value)) for value in prediction["probabilities"].values())
    return "\t".join(values) + "\n"
