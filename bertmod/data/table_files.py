"""Tables that users bring: rows by column name."""

from __future__ import annotations

import json
from bisect import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertmod.data.delimited import DELIMITERS, other_delimiter, read_text, records
from bertmod.data.malformed import Malformed
from bertmod.errors import DataError
from bertmod.wording import counted

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TableForm:
    """How a ``.csv`` or ``.tsv`` file is written, where its name does not say it.

    Attributes:
        delimiter: One character between cells; None: a comma in ``.csv``, a tab in ``.tsv``.
        encoding: Encoding of its text, of ``.jsonl`` too; None: UTF-8.
        quoting: Whether cells may stand in double quotes; None: in ``.csv``, not in ``.tsv``.
    """

    delimiter: str | None = None
    encoding: str | None = None
    quoting: bool | None = None


USUAL = TableForm()
"""What the name of a file says."""


@dataclass(frozen=True)
class Table:
    """What a file holds.

    Attributes:
        columns: Names of its columns, in order.
        rows: Usable rows by column name; in ``.jsonl`` a row may lack a column.
        lines: Number of each usable row's first line from 1, in ``.parquet`` of the row from 1.
        first_line: Number of the first row: 2 under a header.
        malformed: Rows that cannot be used.
        unit: What ``lines`` counts: ``line`` or ``row``.
    """

    columns: tuple[str, ...]
    rows: Sequence[Row]
    lines: Sequence[int]
    first_line: int
    malformed: tuple[Malformed, ...] = ()
    unit: str = "line"

    @property
    def numbers(self) -> list[int]:
        """Number of each usable row from 0, malformed ones counted."""
        lost = [row.line for row in self.malformed]
        return [place + bisect(lost, line) for place, line in enumerate(self.lines)]


def read_table(path: Path, *, form: TableForm = USUAL) -> Sequence[Row]:
    """Rows of a table by column name.

    Args:
        path: ``.tsv``: a header line, tabs, no quoting. ``.csv``: a header line, commas, double
            quotes around cells that need them. ``.jsonl``: one JSON object per line. ``.parquet``.
            UTF-8.
        form: What of this is otherwise.

    Returns:
        One mapping per row, in file order; cells are text, in ``.jsonl`` any JSON value, in
        ``.parquet`` any Python value.

    Raises:
        DataError: If the file cannot be read, has no rows, or has a malformed row; the message
            names the line.
    """
    table = read_whole_table(path, form=form)
    if table.malformed:
        line, why = table.malformed[0]
        raise DataError(f"{path}, {table.unit} {line}: {why}")
    if not table.rows:
        raise DataError(f"{path}: the table has no rows")
    return table.rows


def read_whole_table(path: Path, *, form: TableForm = USUAL) -> Table:
    """A table, malformed rows told apart.

    Args:
        path: The file.
        form: How it is written.

    Raises:
        DataError: If the file cannot be read, or is not of the form that its name or ``form``
            says; then the message tells what was found.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: input files end in {', '.join(_READERS)}")
    return reader(path, form)


def require_columns(path: Path, table: Table, columns: Iterable[str]) -> None:
    """Check that a table has some columns.

    Raises:
        DataError: If it lacks one; the message lists those it has.
    """
    quoted = [f'"{name}"' for name in columns if name not in table.columns]
    if quoted:
        has = ", ".join(table.columns) or "nothing"
        told = f"{path}: no column {', '.join(quoted)}; it has: {has}"
        if set(quoted).intersection(table.columns):
            told += '\n  the cells stand in quotation marks: state "quoting": true'
        raise DataError(told)


def as_text(value: Any, name: str) -> str:
    """A cell as text: a number as it is written, true as 1, false as 0, nothing as "".

    Args:
        value: What the cell holds.
        name: What it is, for the message: its column.

    Raises:
        ValueError: If it is a list, an object or something else that is not written so.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, list | dict):
        found = "a list" if isinstance(value, list) else "an object"
    else:
        found = type(value).__name__
    raise ValueError(f'"{name}" is {found}, not text')


def _read_delimited(path: Path, form: TableForm) -> Table:
    is_csv = path.suffix.lower() == ".csv"
    quoting = is_csv if form.quoting is None else form.quoting
    text = read_text(path, form.encoding)
    delimiter = form.delimiter or ("," if is_csv else "\t")
    if form.delimiter is None:
        _refuse_other_delimiter(path, text, delimiter, quoting=quoting)
    found = records(path, text, delimiter=delimiter, quoting=quoting)
    first, names = next(found, (1, []))
    header = _header(path, first, names)
    return _sorted_out(
        header, ((line, _named(header, row)) for line, row in found), first_line=first + 1
    )


def _refuse_other_delimiter(path: Path, text: str, used: str, *, quoting: bool) -> None:
    other = other_delimiter(text, used, quoting=quoting)
    if other is not None:
        raise DataError(
            f"{path}: the cells are separated by {DELIMITERS[other]}, not by {DELIMITERS[used]}\n"
            f'  state "delimiter": {json.dumps(other)} (or {json.dumps(used)}, if it is so after '
            f"all), or save the file with {DELIMITERS[used]}"
        )


def _read_jsonl(path: Path, form: TableForm) -> Table:
    lines = read_text(path, form.encoding).rstrip("\n").split("\n")
    found = [] if lines == [""] else [(n, _json_row(line)) for n, line in enumerate(lines, 1)]
    rows = (row for _, row in found if not isinstance(row, str))
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    return _sorted_out(names, found, first_line=1)


def _json_row(line: str) -> Row | str:
    """The object of a line, or what is wrong with it."""
    try:
        row = json.loads(line, object_pairs_hook=_unrepeated)
        json.dumps(row, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        return f"not JSON: {error}"
    except UnicodeEncodeError:
        return "half of a surrogate pair (\\ud800 to \\udfff) stands alone"
    except (ValueError, RecursionError) as error:
        return f"not usable: {error}"
    return row if isinstance(row, dict) else "not a JSON object"


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'"{next(n for n in names if names.count(n) > 1)}" stands twice')
    return row


def _read_parquet(path: Path, form: TableForm) -> Table:
    del form
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        hint = 'pip install "bertmod[tables]"'
        raise DataError(f"{path}: reading .parquet needs pyarrow\n  {hint}") from error
    try:
        found = parquet.ParquetFile(path).read()
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet: {error}") from error
    names = tuple(_header(path, 1, found.column_names))
    return _sorted_out(names, enumerate(found.to_pylist(), 1), first_line=1, unit="row")


def _sorted_out(
    names: Sequence[str],
    found: Iterable[tuple[int, Row | str]],
    *,
    first_line: int,
    unit: str = "line",
) -> Table:
    """A table of rows with their numbers, where text says what is wrong with a row."""
    rows: list[Row] = []
    lines, malformed = [], []
    for line, row in found:
        if isinstance(row, str):
            malformed.append(Malformed(line, row))
        else:
            rows.append(row)
            lines.append(line)
    return Table(tuple(names), rows, lines, first_line, tuple(malformed), unit)


def _header(path: Path, line: int, names: Sequence[str]) -> list[str]:
    names = [name.strip() for name in names]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        called = f'are called "{repeated[0]}"' if repeated[0] else "have no name"
        raise DataError(f"{path}, line {line}: two columns {called}")
    return names


def _named(names: Sequence[str], row: list[str]) -> Row | str:
    if len(row) != len(names):
        return f"{counted(len(row), 'column')}, the header has {len(names)}"
    if any("\0" in cell for cell in row):
        return "a zero byte: the file is damaged, or no text"
    return dict(zip(names, row, strict=True))


_READERS: Mapping[str, Callable[[Path, TableForm], Table]] = {
    ".tsv": _read_delimited,
    ".csv": _read_delimited,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}

TABLE_SUFFIXES = tuple(_READERS)
"""What the names of tables end in."""
