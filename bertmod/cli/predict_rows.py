"""The rows of a file, answered by one task of a trained run or by several."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertmod.cli.mixed_answers import answer_with_several
from bertmod.cli.trained_options import Form, names_several, progress
from bertmod.errors import DataError
from bertmod.wording import counted

if TYPE_CHECKING:
    from bertmod.contracts.task import Example, Task
    from bertmod.inference.trained import TrainedRun

Load = Callable[[], "TrainedRun"]
Row = Mapping[str, Any]

TEXT_FIELDS = ("text", "text_pair")


def answer_input(
    load: Load,
    asked: Sequence[str],
    path: Path,
    *,
    columns: str | None,
    output: Path | None,
    form: Form,
) -> None:
    """Write the answers to every row of a file, in its order.

    Args:
        load: Gives the run; called once the arguments are known to be right.
        asked: Ids of tasks, or ``all``.
        path: A table, or a file of the form of the one task that answers.
        columns: ``--columns``.
        output: A file, for ``google`` a folder; None: standard output.
        form: ``google``: the files of google-research/bert.

    Raises:
        DataError: If the file cannot be read, a row cannot be used, or nothing can be written.
    """
    several = names_several(asked)
    _check_output(output, form, several=several)
    names = _names(columns)
    rows = None
    if several or names is not None:
        _require_table(path)
        rows = _read_table(path)
        fields_of(rows[0], names, f"{path}, row 1")  # before anything is loaded
    else:
        _require_file(path)
    trained = load()
    make = partial(_examples, names=names, path=path, several=several)
    if rows is not None and several:
        answer_with_several(trained, asked, rows, examples=make, source=path, output=output)
        return
    name = one_task(trained, asked, option="--input")
    task = trained.task(name).task
    examples = None if rows is not None else _own_form(task, path)
    if examples is None:
        examples = make(task, rows or _read_table(path))
    _answer(trained, name, examples, output=output, form=form)


def one_task(trained: TrainedRun, asked: Sequence[str], *, option: str) -> str:
    """The task that answers by itself.

    Args:
        trained: The run.
        asked: Ids of tasks.
        option: What it answers, for the message.

    Raises:
        DataError: If the run has no such task, or nobody said which of several.
    """
    from bertmod.inference.states import choose_tasks

    chosen = choose_tasks(trained.tasks, asked)
    if len(chosen) != 1:
        raise DataError(
            f"{option}: say which task answers, with --task ID, or --task all for every one\n"
            f"  the run has: {', '.join(trained.tasks)}"
        )
    return chosen[0]


def _check_output(output: Path | None, form: Form, *, several: bool) -> None:
    from bertmod.data.tables import check_output_folder, check_predictions_path

    if form == "google":
        if several:
            raise DataError("--format google: one task answers --input; name it with --task ID")
        if output is None:
            raise DataError("--format google writes several files: give --output FOLDER")
        check_output_folder(output, why="--format google needs a folder")
    elif output is not None:
        check_predictions_path(output, several=several)


def _require_file(path: Path) -> None:
    """Refuse a file that cannot be read, before anything is loaded."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _require_table(path: Path) -> None:
    from bertmod.data.table_files import TABLE_SUFFIXES

    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise DataError(
            f"{path}: tables end in {', '.join(TABLE_SUFFIXES)}\n"
            "  a file of a task's own form is answered by one task, without --columns"
        )


def _read_table(path: Path) -> Sequence[Row]:
    from bertmod.data.table_files import read_table

    return read_table(path)


def _own_form(task: Task, path: Path) -> Sequence[Example] | None:
    """Examples of a file of the task's own form; None if it has none, or this is not of it."""
    from bertmod.contracts.task import FileTask

    return task.examples(path) if isinstance(task, FileTask) else None


def _answer(
    trained: TrainedRun,
    name: str,
    examples: Sequence[Example],
    *,
    output: Path | None,
    form: Form,
) -> None:
    from bertmod.data.tables import submission_lines, write_predictions
    from bertmod.inference.google_form import require_google_form, write_google_form

    entry = trained.task(name)
    if form == "google":
        require_google_form(entry)
    with progress(len(examples), name) as advance:
        predictions = trained.predict(name, examples, advance=advance)
    if output is None:
        sys.stdout.writelines(f"{line}\n" for line in submission_lines(predictions))
        return
    if form == "google":
        written = write_google_form(entry, examples, predictions, output)
    else:
        written = [write_predictions(output, predictions)]
    for path in written:
        print(f"{path}: {counted(len(predictions), 'prediction')} of task {name}", file=sys.stderr)


def _names(columns: str | None) -> list[str] | None:
    """The columns that were named."""
    if columns is None:
        return None
    names = [name.strip() for name in columns.split(",")]
    if len(names) > len(TEXT_FIELDS):
        raise DataError(f"--columns {columns}: at most {len(TEXT_FIELDS)} columns of text")
    return names


def _examples(
    task: Task,
    rows: Sequence[Row],
    *,
    names: Sequence[str] | None,
    path: Path,
    several: bool,
) -> list[Example]:
    """Examples of all rows; a row that says nothing of the kind is known by its number from 0.

    Where several tasks answer, one with a single text takes the first of two columns; a task that
    answers alone must not pass over a column in silence.
    """
    if names is not None and len(names) == len(TEXT_FIELDS) and not several:
        _refuse_for_one_text(task, names)
    examples = []
    for number, row in enumerate(rows):
        fields = fields_of(row, names, f"{path}, row {number + 1}")
        try:
            example = task.example(fields)
        except DataError as error:
            raise DataError(f"{path}, row {number + 1}: {error}") from error
        known = "index" in row or "id" in row or example["id"]
        examples.append(example if known else {**example, "id": str(number)})
    return examples


def _refuse_for_one_text(task: Task, names: Sequence[str]) -> None:
    if _takes_one_text(task):
        raise DataError(
            f"--columns {','.join(names)}: the task has one text, name its column alone"
        )


def _takes_one_text(task: Task) -> bool:
    try:
        task.example({TEXT_FIELDS[0]: ""})
    except DataError:
        return False
    return True


def fields_of(row: Row, names: Sequence[str] | None, where: str) -> Row:
    """What the task makes an example of: the whole row, or the columns that were named.

    Args:
        row: The row.
        names: Columns of the first and the second text; None: the task knows them.
        where: The row's place, for the message.

    Raises:
        DataError: If a column that was named is not there.
    """
    if names is None:
        return row
    missing = [name for name in names if name not in row]
    if missing:
        has = ", ".join(row) or "nothing"
        raise DataError(f'{where}: no column "{missing[0]}"; it has: {has}')
    known = {key: row[key] for key in ("index", "id") if key in row}
    return {**known, **{field: row[name] for field, name in zip(TEXT_FIELDS, names, strict=False)}}
