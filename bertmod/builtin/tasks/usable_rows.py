"""Rows of a user's table, those that cannot be used told apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bertmod import DataError, Example
from bertmod.builtin.tasks.by_hand import id_of
from bertmod.builtin.tasks.split_files import STRICT_HINT, TEST_HINT
from bertmod.data.columns import report_left_out
from bertmod.data.table_files import (
    USUAL,
    Row,
    TableForm,
    read_table,
    read_whole_table,
    require_columns,
)

ValueT = TypeVar("ValueT")
LabelT = TypeVar("LabelT")


@dataclass(frozen=True)
class UsableRows(Generic[ValueT]):
    """What is made of a table.

    Attributes:
        ids: One id per row.
        lines: Number of each row's first line from 1, or of the row.
        unit: What ``lines`` counts: ``line`` or ``row``.
        values: What each row was made into.
    """

    ids: Sequence[str]
    lines: Sequence[int]
    unit: str
    values: Sequence[ValueT]

    def all_or_none(
        self, path: Path, labels: Sequence[LabelT | None], *, of: str = "label"
    ) -> list[LabelT] | None:
        """The labels of all rows; None if no row has one, as a test table may be.

        Args:
            path: The table, for the message.
            labels: Label of each row; None where there is none.
            of: What one is called.

        Raises:
            DataError: If some rows have one and some have none.
        """
        stated = [label for label in labels if label is not None]
        if len(stated) == len(labels):
            return stated
        if not stated:
            return None
        line = self.lines[list(labels).index(None)]
        hint = "leave the column out, or all of it empty, if the rows have none"
        raise DataError(f"{path}, {self.unit} {line}: no {of}, but others have one\n  {hint}")


@dataclass(frozen=True)
class RowReader:
    """Reads tables row by row.

    Attributes:
        form: How the files are written.
        id_column: Column of the rows' ids; None: rows are numbered from 0.
        strict: Whether a malformed train or dev row is an error.
    """

    form: TableForm
    id_column: str | None = None
    strict: bool = False

    def read(
        self,
        path: Path,
        columns: Sequence[str],
        make: Callable[[Row], ValueT],
        *,
        is_test: bool,
        quiet: bool = False,
    ) -> UsableRows[ValueT]:
        """The rows of a table, malformed train and dev rows left out with a warning.

        Args:
            path: The table.
            columns: Columns that must be there.
            make: From a row, which may lack a cell, to its value; raises ValueError, which says
                why, if the row cannot be used.
            is_test: Whether every row must be answered, so that none can be left out.
            quiet: Whether nothing is said of rows left out, because the table is read once more.

        Raises:
            DataError: If the file cannot be read, lacks a column, or has no row that can be used;
                if two rows have one id; if a row is malformed that may not be left out.
        """
        table = read_whole_table(path, form=self.form)
        if not table.rows and not table.malformed:
            raise DataError(f"{path}: the table has no rows")
        if table.rows:
            require_columns(path, table, [*columns, *([self.id_column] if self.id_column else [])])
        lost = [(row.line, row.why) for row in table.malformed]
        places: dict[str, int] = {}
        values = []
        for line, number, row in zip(table.lines, table.numbers, table.rows, strict=True):
            try:
                id_ = self._id(row, number)
                values.append(make(row))
            except ValueError as error:
                lost.append((line, str(error)))
                continue
            if id_ in places:
                where = f"{table.unit} {places[id_]} and {line}"
                raise DataError(f'{path}: two rows have the id "{id_}": {where}')
            places[id_] = line
        told = [f"{table.unit} {line}: {why}" for line, why in sorted(lost)]
        strict, hint = is_test or self.strict, TEST_HINT if is_test else STRICT_HINT
        if not (quiet and values):
            report_left_out(path, told, len(values), of="row", strict=strict, hint=hint)
        return UsableRows(list(places), list(places.values()), table.unit, values)

    def answered(
        self, path: Path, make: Callable[[Mapping[str, Any]], Example]
    ) -> list[Example] | None:
        """Examples of a table that is to be answered; None if it is written like any other.

        Args:
            path: The table.
            make: From the cells of a row, and its number from 0 as ``id``, to its example.

        Raises:
            DataError: If the file cannot be read, or a row cannot be used.
        """
        if self.form == USUAL:
            return None
        found = []
        for number, row in enumerate(read_table(path, form=self.form)):
            try:
                found.append(make({"id": number, **row}))
            except DataError as error:
                raise DataError(f"{path}, row {number + 1}: {error}") from error
        return found

    def id_of(self, fields: Mapping[str, Any]) -> str:
        """The id of an example from named fields: the column of ids, ``index`` or ``id``."""
        return id_of(fields, self.id_column)

    def _id(self, row: Row, number: int) -> str:
        if self.id_column is None:
            return str(number)
        if row.get(self.id_column) in (None, ""):
            raise ValueError("its id is missing")
        return str(row[self.id_column])
