"""Columns of tab-separated benchmark files, malformed rows told apart."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np

from bertmod.data.lines import read_blocks
from bertmod.data.malformed import Malformed
from bertmod.errors import DataError
from bertmod.wording import counted

SHOWN = 5
"""How many malformed rows a message describes."""

_log = logging.getLogger("bertmod")


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
        columns: Names in the header line, or positions from 0.
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
        number = first
        if width is None:
            header, number, lines = lines[0].split("\t"), number + 1, lines[1:]
            width, places = len(header), _places(path, header, columns)
        block, lines, bad = _of_width(lines, number, width)
        numbers.append(block)
        malformed += bad
        # One list of a block's cells: Python's collector walks through a list per row, over and
        # over, which takes three times as long as all else.
        cells = "\t".join(lines).split("\t") if lines else []
        for column, place in zip(kept, places, strict=True):
            column += cells[place::width]
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
    return replace(keep_rows(cells, kept), malformed=tuple(sorted((*cells.malformed, *found))))


def keep_rows(cells: Cells, rows: Sequence[int]) -> Cells:
    """The cells of some usable rows, in this order."""
    return replace(
        cells,
        columns={name: [column[row] for row in rows] for name, column in cells.columns.items()},
        lines=cells.lines[np.asarray(rows, dtype=np.int64)],
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
    shown = [f"line {line}: {why}" for line, why in cells.malformed]
    report_left_out(path, shown, len(cells.lines), of="row", strict=strict, hint=hint)


def report_left_out(
    path: Path, malformed: Sequence[str], usable: int, *, of: str, strict: bool, hint: str = ""
) -> None:
    """Warn of what is left out of a file, or refuse the file.

    Args:
        path: The file.
        malformed: What is malformed: where it stands, and why.
        usable: How much else there is.
        of: What is counted: ``row``.
        strict: Whether one of them is an error.
        hint: What to do about the error; empty for nothing.

    Raises:
        DataError: If something is malformed and ``strict`` is set, or if all is.
    """
    count = len(malformed)
    if not count:
        return
    what = counted(count, f"malformed {of}")
    shown = "".join(f"\n  {each}" for each in malformed[:SHOWN])
    more = f"\n  and {count - SHOWN} more" if count > SHOWN else ""
    if not usable:
        raise DataError(f"{path}: every {of} is malformed ({count}){shown}{more}")
    if strict:
        raise DataError(f"{path}: {what} of {count + usable}{shown}{more}" + hint)
    _log.warning("%s: left out %s of %d%s%s", path, what, count + usable, shown, more)


def _of_width(
    lines: list[str], first: int, width: int
) -> tuple[np.ndarray, list[str], list[Malformed]]:
    """Numbers of the lines that have so many cells, these lines, and the others."""
    numbers = np.arange(first, first + len(lines))
    widths = 1 + np.fromiter(map(str.count, lines, repeat("\t")), np.int64, len(lines))
    good = widths == width
    if good.all():
        return numbers, lines, []
    bad = [
        Malformed(int(number), f"{counted(int(found), 'column')}, not {width}")
        for number, found in zip(numbers[~good], widths[~good], strict=True)
    ]
    return numbers[good], [lines[place] for place in np.flatnonzero(good)], bad


def _places(path: Path, header: list[str], columns: Sequence[str | int]) -> list[int]:
    """Where the wanted columns stand."""
    names = [name.strip() for name in header]
    missing = [_quoted(name) for name in columns if not _stands_in(name, names)]
    if not missing:
        return [name if isinstance(name, int) else names.index(name) for name in columns]
    found = ", ".join(f'"{_short(name)}"' for name in names)
    raise DataError(
        f"{path}: the first line is not the header expected: no column {', '.join(missing)}"
        f"\n  found: {found}\n  {_expected(columns, None)}"
    )


def _stands_in(column: str | int, names: list[str]) -> bool:
    return column < len(names) if isinstance(column, int) else column in names


def _quoted(column: str | int) -> str:
    return f"number {column + 1}" if isinstance(column, int) else f'"{column}"'


def _expected(columns: Sequence[str | int], num_columns: int | None) -> str:
    if num_columns is not None:
        return f"expected: {num_columns} columns separated by tabs, no header line"
    names = ", ".join(map(_quoted, columns))
    return f"expected: tab-separated rows under a header line with the columns {names}"


def _short(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
