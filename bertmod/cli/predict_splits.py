"""The test splits of a trained run's tasks, answered in a benchmark's own files."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bertmod.cli.predict_rows import Load
from bertmod.cli.trained_options import Form, progress
from bertmod.errors import DataError

if TYPE_CHECKING:
    from bertmod.inference.trained import TrainedRun


def answer_splits(
    load: Load, asked: Sequence[str], *, data: str | None, output: Path | None, form: Form
) -> None:
    """Write the benchmark's files; of all tasks, those that cannot answer are passed over.

    Args:
        load: Gives the run; called once the arguments are known to be right.
        asked: Ids of tasks, or ``all``; nothing means all.
        data: ``--data``; None: the folder that the run was trained on.
        output: The folder that the files go into.
        form: ``google``: the files of google-research/bert instead.

    Raises:
        DataError: If a task that was named has no test files, or no task has.
    """
    from bertmod.assemble.data import named_data_folder
    from bertmod.inference.google_form import write_google_form

    target = _folder(output)
    trained = load()
    folder = None if data is None else named_data_folder(data)
    for split in _answerable(trained, asked, folder, form):
        examples = trained.examples(split.task, split.name, folder)
        with progress(None, split.task) as advance:
            predictions = trained.predict(split.task, examples, advance=advance)
        entry = trained.task(split.task)
        place = target.joinpath(*split.folder)
        if form == "google":
            written = write_google_form(entry, examples, predictions, place, split=split.name)
        else:
            written = entry.task.write(split.name, examples, predictions, place)
        for path in written:
            print(f"{path}: predictions of task {split.task}", file=sys.stderr)


@dataclass(frozen=True)
class _Split:
    """A test split to answer, and the folders inside the output that its files go into.

    Tasks of one kind write files of the same names.
    """

    task: str
    kind: str
    name: str
    folder: tuple[str, ...] = ()


def _folder(output: Path | None) -> Path:
    from bertmod.data.tables import check_output_folder

    if output is None:
        raise DataError(
            "give --input FILE, whose rows are to be answered, or --text TEXT, or --output FOLDER "
            "for the answers of the test splits"
        )
    check_output_folder(output, why="without --input the answers need a folder")
    return output


def _answerable(
    trained: TrainedRun, asked: Sequence[str], data: Path | None, form: Form
) -> list[_Split]:
    from bertmod.inference.google_form import answers_spans
    from bertmod.inference.states import choose_tasks

    named = [task for task in asked if task != "all"]
    chosen: list[_Split] = []
    reasons: dict[str, str] = {}
    for task in choose_tasks(trained.tasks, asked):
        entry = trained.task(task)
        if not (reason := _reason_against(trained, task, data, form)):
            kind = "spans" if answers_spans(entry) else entry.slot.full_name
            chosen += [_Split(task, kind, split) for split in entry.splits("test")]
        elif task in named:
            raise DataError(f'task "{task}" was not answered: {reason}')
        else:
            reasons[task] = reason
    if not chosen:
        told = "".join(f"\n  {task}: {reason}" for task, reason in reasons.items())
        raise DataError(f"no task has a test split to answer{told}")
    for task, reason in reasons.items():
        print(f"{task}: passed over, {reason}", file=sys.stderr)
    return _apart(chosen, form)


def _reason_against(trained: TrainedRun, task: str, data: Path | None, form: Form) -> str:
    """Why a task's test splits cannot be answered; empty if they can."""
    from bertmod.inference.google_form import without_google_form

    entry = trained.task(task)
    if form == "google" and (reason := without_google_form(entry)):
        return reason
    splits = entry.splits("test")
    if not splits:
        return "it has no test split"
    files = [path for split in splits for path in trained.files(task, split, data)]
    missing = [path for path in files if not path.is_file()]
    if missing:
        return f"there is no {missing[0]}"
    where = "the data folder of the run" if data is None else data
    return "" if files else f"there are no files of its test split in {where}"


def _apart(splits: Sequence[_Split], form: Form) -> list[_Split]:
    """The splits, those that share file names in folders of their own."""
    if form == "google":  # the same file names whatever the task
        several = Counter(split.task for split in splits)
        if len(splits) == 1:
            return list(splits)
        return [
            replace(split, folder=(split.task, split.name)[: 1 + (several[split.task] > 1)])
            for split in splits
        ]
    tasks_of = Counter(kind for kind, _ in {(split.kind, split.task) for split in splits})
    return [
        replace(split, folder=(split.task,)) if tasks_of[split.kind] > 1 else split
        for split in splits
    ]
