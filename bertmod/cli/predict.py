"""``bertmod predict``: a trained task's answers for a table of texts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertmod.cli.invocation import invocation
from bertmod.cli.trained_options import DeviceOption, RunArgument, SourceOption, progress
from bertmod.errors import DataError

if TYPE_CHECKING:
    from bertmod.contracts.task import Example, Task

TEXT_FIELDS = ("text", "text_pair")


def predict(
    run: RunArgument,
    task: Annotated[str, typer.Option("--task", metavar="ID", help="Task of the run.")],
    input_: Annotated[
        Path,
        typer.Option("--input", metavar="FILE", help=".tsv or .csv with a header line, or .jsonl."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help=".tsv (index and prediction, as GLUE takes it) or .jsonl (with probabilities); "
            "standard output, as .tsv, otherwise.",
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
    """Answer every row of a table, in its order."""
    from bertmod.data.tables import check_predictions_path, read_table, submission_lines
    from bertmod.data.tables import write_predictions as write
    from bertmod.inference.trained import load_run

    if output is not None:
        check_predictions_path(output)
    rows = read_table(input_)
    trained = load_run(run, source=source, registry=invocation().registry, device=device)
    entry = trained.task(task)
    examples = _examples(entry.task, rows, columns, input_)
    with progress(len(examples), task) as advance:
        predictions = trained.predict(task, examples, advance=advance)
    if output is None:
        sys.stdout.writelines(f"{line}\n" for line in submission_lines(predictions))
        return
    write(output, predictions)
    print(f"{output}: {len(predictions):,} predictions of task {task}", file=sys.stderr)


def _examples(
    task: Task, rows: Sequence[Mapping[str, Any]], columns: str | None, path: Path
) -> list[Example]:
    """Examples of all rows; a row that says no index or id is known by its number from 0."""
    names = [name.strip() for name in columns.split(",")] if columns else []
    if len(names) > len(TEXT_FIELDS):
        raise DataError(f"--columns {columns}: at most {len(TEXT_FIELDS)} columns of text")
    missing = [name for name in names if name not in rows[0]]
    if missing:
        raise DataError(f'{path}: no column "{missing[0]}"; it has: {", ".join(rows[0])}')
    return [task.example(_fields(row, number, names)) for number, row in enumerate(rows)]


def _fields(row: Mapping[str, Any], number: int, names: Sequence[str]) -> dict[str, Any]:
    index = row.get("index", row.get("id", number))
    if not names:
        return {**row, "index": index}
    texts = {field: row[name] for field, name in zip(TEXT_FIELDS, names, strict=False)}
    return {**texts, "index": index}
