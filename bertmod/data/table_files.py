"""Tables that users bring: rows by column name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: input files end in {', '.join(_READERS)}")
    rows = reader(path)
    if not rows:
        raise DataError(f"{path}: the table has no rows")
    return rows if columns is None else [_narrow(path, row, columns) for row in rows]


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


_READERS = {".tsv": _read_tsv, ".csv": _read_csv, ".jsonl": _read_jsonl}
