"""``bertmod predict``: a trained run's answers, for a table of texts or for whole test splits."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertmod.cli.invocation import invocation
from bertmod.cli.mixed_answers import answer_with_several
from bertmod.cli.recipe_options import DataOption
from bertmod.cli.terminal import show_warnings
from bertmod.cli.trained_options import (
    DeviceOption,
    RunArgument,
    SourceOption,
    TaskOption,
    progress,
)
from bertmod.errors import DataError
from bertmod.wording import counted

if TYPE_CHECKING:
    from bertmod.contracts.task import Example, Task
    from bertmod.inference.trained import TrainedRun

TEXT_FIELDS = ("text", "text_pair")


def predict(
    run: RunArgument,
    task: TaskOption = None,
    input_: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            help=".tsv or .csv with a header line, or .jsonl: rows of one task, or texts for "
            "several (--task all, or --task more than once). Without it the test splits of --data "
            "are answered.",
        ),
    ] = None,
    data: DataOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="PATH",
            help="With --input a file: .tsv (index and prediction, as GLUE takes it; of several "
            "tasks a column each) or .jsonl (with probabilities); standard output, as .tsv, "
            "otherwise. Without --input a folder for the benchmark's own files.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns",
            metavar="A[,B]",
            help="Columns of the texts, where the task does not know them by name.",
        ),
    ] = None,
    source: SourceOption = "mean",
    device: DeviceOption = "auto",
) -> None:
    """Answer every row of a table in its order, or every test split of the run's tasks."""
    from bertmod.inference.trained import load_run

    show_warnings()
    if input_ is None:
        folder = _splits_folder(output, columns)
        trained = load_run(run, source=source, registry=invocation().registry, device=device)
        _answer_splits(trained, task or (), data, folder)
        return
    if data is not None:
        raise DataError("--data and --input: rows are answered from one of the two, not both")
    names, rows = _names(columns), _read(input_, output)
    _fields(rows[0], names, f"{input_}, row 1")  # before anything is loaded
    trained = load_run(run, source=source, registry=invocation().registry, device=device)
    asked = task or ()
    several = "all" in asked or len(set(asked)) > 1
    make = partial(_examples, names=names, path=input_, several=several)
    if several:
        answer_with_several(trained, asked, rows, examples=make, source=input_, output=output)
        return
    name = _one_task(trained, asked)
    _answer_rows(trained, name, make(trained.task(name).task, rows), output)


def _read(path: Path, output: Path | None) -> Sequence[Mapping[str, Any]]:
    from bertmod.data.table_files import read_table
    from bertmod.data.tables import check_predictions_path

    if output is not None:
        check_predictions_path(output)
    return read_table(path)


def _one_task(trained: TrainedRun, asked: Sequence[str]) -> str:
    from bertmod.inference.states import choose_tasks

    chosen = choose_tasks(trained.tasks, asked)
    if len(chosen) != 1:
        raise DataError(
            "--input: say which task answers, with --task ID, or --task all for every one\n"
            f"  the run has: {', '.join(trained.tasks)}"
        )
    return chosen[0]


def _answer_rows(
    trained: TrainedRun, task: str, examples: Sequence[Example], output: Path | None
) -> None:
    from bertmod.data.tables import submission_lines, write_predictions

    with progress(len(examples), task) as advance:
        predictions = trained.predict(task, examples, advance=advance)
    if output is None:
        sys.stdout.writelines(f"{line}\n" for line in submission_lines(predictions))
        return
    write_predictions(output, predictions)
    made = counted(len(predictions), "prediction")
    print(f"{output}: {made} of task {task}", file=sys.stderr)


def _splits_folder(output: Path | None, columns: str | None) -> Path:
    if columns is not None:
        raise DataError("--columns names columns of --input, which is not given")
    if output is None:
        raise DataError(
            "give --input FILE, whose rows are to be answered, or --output FOLDER for the answers "
            "of the test splits"
        )
    if output.exists() and not output.is_dir():
        raise DataError(f"{output}: is a file; without --input the answers need a folder")
    if not output.is_dir() and not output.absolute().parent.is_dir():
        raise DataError(f"{output}: there is no folder {output.parent}")
    return output


def _answer_splits(
    trained: TrainedRun, asked: Sequence[str], data: str | None, output: Path
) -> None:
    """Write the benchmark's files; of all tasks, those without test files are passed over.

    Raises:
        DataError: If a task that was named has no test files, or no task has.
    """
    from bertmod.assemble.data import named_data_folder
    from bertmod.inference.states import choose_tasks

    folder = None if data is None else named_data_folder(data)
    named = [task for task in asked if task != "all"]
    chosen: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for task in choose_tasks(trained.tasks, asked):
        if not (reason := _without_files(trained, task, folder)):
            chosen[task] = trained.task(task).slot.full_name
        elif task in named:
            raise DataError(f'task "{task}" was not answered: {reason}')
        else:
            reasons[task] = reason
    if not chosen:
        told = "".join(f"\n  {task}: {reason}" for task, reason in reasons.items())
        raise DataError(f"no task has a test split to answer{told}")
    for task, reason in reasons.items():
        print(f"{task}: passed over, {reason}", file=sys.stderr)
    kinds = Counter(chosen.values())
    for task, kind in chosen.items():
        target = output if kinds[kind] == 1 else output / task  # else they share file names
        with progress(None, task) as advance:
            written = trained.submit(task, target, folder, advance=advance)
        for path in written:
            print(f"{path}: predictions of task {task}", file=sys.stderr)


def _without_files(trained: TrainedRun, task: str, folder: Path | None) -> str:
    """Why a task's test splits cannot be answered; empty if they can."""
    if not trained.task(task).splits("test"):
        return "it has no test split"
    files = trained.test_files(task, folder)
    missing = [path for path in files if not path.is_file()]
    if missing:
        return f"there is no {missing[0]}"
    where = "the data folder of the run" if folder is None else folder
    return "" if files else f"there are no files of its test split in {where}"


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
    rows: Sequence[Mapping[str, Any]],
    *,
    names: Sequence[str] | None,
    path: Path,
    several: bool,
) -> list[Example]:
    """Examples of all rows; a row that says no index or id is known by its number from 0.

    Where several tasks answer, one with a single text takes the first of two columns; a task that
    answers alone must not pass over a column in silence.
    """
    if names is not None and len(names) == len(TEXT_FIELDS) and not several:
        _refuse_for_one_text(task, names)
    examples = []
    for number, row in enumerate(rows):
        fields = _fields(row, names, f"{path}, row {number + 1}")
        try:
            example = task.example(fields)
        except DataError as error:
            raise DataError(f"{path}, row {number + 1}: {error}") from error
        known = "index" in row or "id" in row
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


def _fields(row: Mapping[str, Any], names: Sequence[str] | None, where: str) -> Mapping[str, Any]:
    """What the task makes an example of: the whole row, or the columns that were named."""
    if names is None:
        return row
    missing = [name for name in names if name not in row]
    if missing:
        has = ", ".join(row) or "nothing"
        raise DataError(f'{where}: no column "{missing[0]}"; it has: {has}')
    known = {key: row[key] for key in ("index", "id") if key in row}
    return {**known, **{field: row[name] for field, name in zip(TEXT_FIELDS, names, strict=False)}}
