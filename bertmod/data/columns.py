"""Columns of tab-separated benchmark files, malformed rows told apart."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bertmod.data.lines import read_blocks
from bertmod.errors import DataError

SHOWN = 5
"""How many malformed rows a message describes."""

_log = logging.getLogger("bertmod")


class Malformed(NamedTuple):
    """A row that cannot be used.

    Attributes:
        line: Line number, from 1, the header counted.
        why: What is wrong with it.
    """

    line: int
    why: str


@dataclass(frozen=True)
class Cells:
    """Some columns of a file.

    Attributes:
        columns: Column name, or position from 0, to one text per usable row.
        lines: Line number of each usable row, from 1, int64.
        first_line: Line number of the first data row: 2 under a header, else 1.
        malformed: Rows left out.
    """

    columns: Mapping[str | int, list[str]]
    lines: np.ndarray
    first_line: int
    malformed: tuple[Malformed, ...]


def read_columns(
    path: Path, columns: Sequence[str | int], *, num_columns: int | None = None
) -> Cells:
    """Read some columns of a tab-separated file without quoting.

    Args:
        path: The file: UTF-8, with or without byte-order mark.
        columns: Names in the header line, or positions from 0 for a file without header.
        num_columns: Columns of a file without header; None means that the first line is a header
            and says how many there are.

    Raises:
        DataError: If the file cannot be read, is empty, or its header lacks a column.
    """
    width = num_columns
    places = [] if num_columns is None else [int(column) for column in columns]
    kept: list[list[str]] = [[] for _ in columns]
    numbers: list[np.ndarray] = []
    malformed: list[Malformed] = []
    for first, lines in read_blocks(path):
        number, rows = first, [line.split("\t") for line in lines]
        if width is None:
            width, places = len(rows[0]), _places(path, rows[0], columns)
            number, rows = number + 1, rows[1:]
        block, rows, bad = _of_width(rows, number, width)
        numbers.append(block)
        malformed += bad
        for column, place in zip(kept, places, strict=True):
            column += [row[place] for row in rows]
    if width is None or (not malformed and not any(map(len, numbers))):
        raise DataError(f"{path}: the file has no data rows\n  {_expected(columns, num_columns)}")
    return Cells(
        columns=dict(zip(columns, kept, strict=True)),
        lines=np.concatenate(numbers),
        first_line=2 if num_columns is None else 1,
        malformed=tuple(malformed),
    )


def drop_rows(cells: Cells, malformed: Mapping[int, str]) -> Cells:
    """The cells without some rows.

    Args:
        cells: Columns of a file.
        malformed: Place of a row among the usable ones to what is wrong with it.
    """
    if not malformed:
        return cells
    kept = [row for row in range(len(cells.lines)) if row not in malformed]
    found = [Malformed(int(cells.lines[row]), why) for row, why in malformed.items()]
    return Cells(
        columns={name: [column[row] for row in kept] for name, column in cells.columns.items()},
        lines=cells.lines[kept],
        first_line=cells.first_line,
        malformed=tuple(sorted((*cells.malformed, *found))),
    )


def report_malformed(path: Path, cells: Cells, *, strict: bool, hint: str = "") -> None:
    """Warn of the rows left out of a file, or refuse the file.

    Args:
        path: The file.
        cells: What was read of it.
        strict: Whether one malformed row is an error.
        hint: What to do about the error; empty for nothing.

    Raises:
        DataError: If a row is malformed and ``strict`` is set, or if all of them are.
    """
    count, usable = len(cells.malformed), len(cells.lines)
    if not count:
        return
    rows = "1 malformed row" if count == 1 else f"{count} malformed rows"
    shown = "".join(f"\n  line {line}: {why}" for line, why in cells.malformed[:SHOWN])
    more = f"\n  and {count - SHOWN} more" if count > SHOWN else ""
    if not usable:
        raise DataError(f"{path}: every row is malformed ({count}){shown}{more}")
    if strict:
        raise DataError(f"{path}: {rows} of {count + usable}{shown}{more}" + hint)
    _log.warning("%s: left out %s of %d%s%s", path, rows, count + usable, shown, more)


def _of_width(
    rows: list[list[str]], first: int, width: int
) -> tuple[np.ndarray, list[list[str]], list[Malformed]]:
    """Line numbers and cells of the rows that have so many cells, and the other rows."""
    numbers = np.arange(first, first + len(rows))
    if not rows or set(map(len, rows)) == {width}:
        return numbers, rows, []
    good = np.array([len(row) == width for row in rows])
    bad = [
        Malformed(int(number), f"{_counted(len(row))}, not {width}")
        for number, row in zip(numbers, rows, strict=True)
        if len(row) != width
    ]
    return numbers[good], [row for row in rows if len(row) == width], bad


def _counted(columns: int) -> str:
    return "1 column" if columns == 1 else f"{columns} columns"


def _places(path: Path, header: list[str], columns: Sequence[str | int]) -> list[int]:
    """Where the wanted columns stand."""
    names = [name.strip() for name in header]
    missing = [f'"{name}"' for name in columns if name not in names]
    if not missing:
        return [names.index(str(name)) for name in columns]
    found = ", ".join(f'"{_short(name)}"' for name in names)
    raise DataError(
        f"{path}: the first line is not the header expected: no column {', '.join(missing)}"
        f"\n  found: {found}\n  {_expected(columns, None)}"
    )


def _expected(columns: Sequence[str | int], num_columns: int | None) -> str:
    if num_columns is not None:
        return f"expected: {num_columns} columns separated by tabs, no header line"
    names = ", ".join(f'"{name}"' for name in columns)
    return f"expected: tab-separated rows under a header line with the columns {names}"


def _short(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
