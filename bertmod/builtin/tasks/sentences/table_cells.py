"""Cells of a table as texts and labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bertmod.builtin.tasks.sentences.table_config import TableConfig, columns_of, target
from bertmod.data.table_files import Row, as_text

_FLAGS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


def cell_text(row: Row, column: str) -> str:
    """A cell as text.

    Raises:
        ValueError: If the row has no such cell, or it is not text or a number.
    """
    if column not in row:
        raise ValueError(f'it has no "{column}"')
    return as_text(row[column], column)


def row_texts(row: Row, columns: Sequence[str]) -> tuple[str, ...]:
    """The first text, and the others joined by spaces, empty ones left out.

    Raises:
        ValueError: If one is no text.
    """
    first, *others = [cell_text(row, column) for column in columns]
    return (first, " ".join(filter(None, others))) if others else (first,)


def row_label(config: TableConfig) -> Callable[[Row], Any]:
    """What gives a row's label as text, or a list of label names.

    The function raises ``ValueError`` if the row has none.
    """
    if target(config) != "flags":
        return lambda row: _one(row, str(config.label))
    if isinstance(config.label, str):
        return lambda row: _several(row, str(config.label), config.label_separator or "")
    return lambda row: [name for name in columns_of(config.label) if _flag(row, name)]


def _one(row: Row, column: str) -> str:
    label = cell_text(row, column).strip()
    if not label:
        raise ValueError(f'no label in "{column}"')
    return label


def _several(row: Row, column: str, separator: str) -> list[str]:
    value = row.get(column)
    if isinstance(value, list | tuple):
        names = [as_text(each, column) for each in value]
    else:
        names = cell_text(row, column).split(separator)
    return [name.strip() for name in names if name.strip()]


def _flag(row: Row, column: str) -> bool:
    text = cell_text(row, column).strip()
    flag = _FLAGS.get(text.lower())
    if flag is None:
        raise ValueError(f'"{column}" is "{text}", not 0 or 1')
    return flag
