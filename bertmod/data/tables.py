"""Tables that users bring to predict on, and the files that predictions are written to."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bertmod.data.durable import write_file
from bertmod.data.lines import read_lines
from bertmod.errors import DataError

Row = Mapping[str, Any]


def read_table(path: Path, columns: Sequence[str] | None = None) -> Sequence[Row]:
    """Rows of a table by column name.

    Args:
        path: ``.tsv``: a header line, tabs, no quoting. ``.csv``: a header line, commas, double
            quotes around cells that need them. ``.jsonl``: one JSON object per line. UTF-8.
        columns: Columns to keep, all of which must be there; None keeps every column.

    Returns:
        One mapping per row, in file order; cells are text, in ``.jsonl`` any JSON value.

    Raises:
        DataError: If the file cannot be read, has no rows, lacks a column, or has a malformed
            row; the message names the line.
    """
    reader = _choose(path, _READERS, "input")
    rows = reader(path)
    if not rows:
        raise DataError(f"{path}: the table has no rows")
    return rows if columns is None else [_narrow(path, row, columns) for row in rows]


def write_predictions(path: Path, predictions: Sequence[Row]) -> Path:
    """Write predictions as a table, replacing the file in one instant.

    Args:
        path: ``.tsv``: ``index`` and ``prediction``, the label name or a value with 3 decimals.
            ``.jsonl``: everything that the task says of each example.
        predictions: One per example, each with ``id`` and ``label`` or ``value``.

    Returns:
        ``path``.

    Raises:
        DataError: If the file cannot be written or its name ends in something else.
    """
    lines = _choose(path, _WRITERS, "output")(predictions)
    replace_text(path, "".join(f"{line}\n" for line in lines))
    return path


def check_predictions_path(path: Path) -> None:
    """Refuse a file that predictions cannot be written to, before they are made.

    Raises:
        DataError: If its name ends in something unknown, its folder is missing, or it is a folder.
    """
    _choose(path, _WRITERS, "output")
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a file")
    if not path.parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}")


def submission_lines(predictions: Iterable[Row]) -> list[str]:
    """Lines of a table ``index<TAB>prediction``, header first.

    Args:
        predictions: One per example, each with ``id`` and ``label`` (text) or ``value`` (a
            number, written with 3 decimals).

    Raises:
        DataError: If an id or a label has a tab or a line end in it.
    """
    rows = [("index", "prediction")]
    for prediction in predictions:
        rows.append((_cell(prediction["id"]), _cell(_shown(prediction))))
    return ["\t".join(row) for row in rows]


def write_answers(path: Path, ids: Sequence[str], answers: Mapping[str, Sequence[Row]]) -> None:
    """Write several tasks' predictions for the same rows, replacing the file in one instant.

    Args:
        path: ``.tsv``: ``index`` and a column per task. ``.jsonl``: an object per row, ``index``
            and under each task's id ``prediction`` and what else the task says.
        ids: What each row is called.
        answers: Task id to one prediction per row.

    Raises:
        DataError: If the file cannot be written or its name ends in something else.
    """
    lines = _choose(path, _ANSWER_WRITERS, "output")(ids, answers)
    replace_text(path, "".join(f"{line}\n" for line in lines))


def answer_lines(ids: Sequence[str], answers: Mapping[str, Sequence[Row]]) -> list[str]:
    """Lines of a table with a column per task, header first.

    Args:
        ids: What each row is called.
        answers: Task id to one prediction per row, as ``submission_lines`` takes them.

    Raises:
        DataError: If an id or an answer has a tab or a line end in it.
    """
    columns = [[_shown(prediction) for prediction in each] for each in answers.values()]
    rows = [("index", *answers), *zip(ids, *columns, strict=True)]
    return ["\t".join(_cell(cell) for cell in row) for row in rows]


def replace_text(path: Path, text: str) -> None:
    """Replace a file's text in one instant.

    Raises:
        DataError: If the file cannot be written.
    """
    try:
        write_file(path, text)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


def _choose(path: Path, known: Mapping[str, Callable[..., Any]], use: str) -> Callable[..., Any]:
    chosen = known.get(path.suffix.lower())
    if chosen is None:
        raise DataError(f"{path}: {use} files end in {', '.join(known)}")
    return chosen


def _read_tsv(path: Path) -> list[Row]:
    lines = read_lines(path)
    names = _header(path, lines[0].split("\t") if lines else [])
    rows = [line.split("\t") for line in lines[1:]]
    return [_named(path, number, names, row) for number, row in enumerate(rows, 2)]


def _read_csv(path: Path) -> list[Row]:
    reader = csv.reader(io.StringIO("\n".join(read_lines(path))), strict=True)
    try:
        names = _header(path, next(reader, []))
        return [_named(path, reader.line_num, names, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error


def _read_jsonl(path: Path) -> list[Row]:
    return [_json_row(path, number, line) for number, line in enumerate(read_lines(path), 1)]


def _json_row(path: Path, number: int, line: str) -> Row:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {number}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{path}, line {number}: not a JSON object")
    return row


def _header(path: Path, names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(f'{path}, line 1: two columns are called "{repeated[0]}"')
    return names


def _named(path: Path, number: int, names: list[str], row: list[str]) -> Row:
    if len(row) != len(names):
        cells = "1 column" if len(row) == 1 else f"{len(row)} columns"
        raise DataError(f"{path}, line {number}: {cells}, the header has {len(names)}")
    return dict(zip(names, row, strict=True))


def _narrow(path: Path, row: Row, columns: Sequence[str]) -> Row:
    missing = [f'"{name}"' for name in columns if name not in row]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; it has: {', '.join(row)}")
    return {name: row[name] for name in columns}


def _cell(value: object) -> str:
    text = str(value)
    if any(separator in text for separator in "\t\n\r"):
        raise DataError(f"{text!r} has a tab or a line end: write .jsonl instead")
    return text


def _shown(prediction: Row) -> str:
    """The answer of a prediction: its label, its value, or all that it says."""
    if "label" in prediction:
        return str(prediction["label"])
    if "value" in prediction:
        return f"{prediction['value']:.3f}"
    return json.dumps(_without_id(prediction), ensure_ascii=False)


def _without_id(prediction: Row) -> Row:
    return {key: value for key, value in prediction.items() if key != "id"}


def _answer(prediction: Row) -> Row:
    """A prediction whose label or value is called ``prediction``."""
    own = dict(_without_id(prediction))
    for key in ("label", "value"):
        if key in own:
            return {"prediction": own.pop(key), **own}
    return own


def _answer_json_lines(ids: Sequence[str], answers: Mapping[str, Sequence[Row]]) -> list[str]:
    return [
        json.dumps(
            {"index": id_, **{task: _answer(each[row]) for task, each in answers.items()}},
            ensure_ascii=False,
        )
        for row, id_ in enumerate(ids)
    ]


def _json_lines(predictions: Sequence[Row]) -> list[str]:
    return [json.dumps(dict(prediction), ensure_ascii=False) for prediction in predictions]


_READERS = {".tsv": _read_tsv, ".csv": _read_csv, ".jsonl": _read_jsonl}
_WRITERS = {".tsv": submission_lines, ".jsonl": _json_lines}
_ANSWER_WRITERS = {".tsv": answer_lines, ".jsonl": _answer_json_lines}
