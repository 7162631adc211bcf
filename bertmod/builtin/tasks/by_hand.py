"""Texts that are given by name: from a command line, a table or a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bertmod import DataError


def id_of(fields: Mapping[str, Any], column: str | None = None) -> str:
    """The id of an example; empty where it has none.

    Args:
        fields: What was given.
        column: What the task calls it; ``index`` comes after that, then ``id``.
    """
    names = ("index", "id") if column is None else (column, "index", "id")
    return str(next((fields[name] for name in names if name in fields), ""))


def text_of(fields: Mapping[str, Any], names: Sequence[str], *, owner: str, place: int) -> str:
    """A text that may be given by several names.

    Args:
        fields: What was given.
        names: The names that the text may have.
        owner: Who needs it, for messages: ``task "mnli"``.
        place: 0 for the first text, 1 for the second.

    Raises:
        DataError: If the text is missing, given twice, or no text.
    """
    given = {name: fields[name] for name in names if name in fields}
    which = ("the text", "the second text")[place]
    if not given:
        accepted = _alternatives(names)
        raise DataError(
            f"{owner}: {which} is missing\n  given: {quoted(fields)}\n  accepted: {accepted}"
        )
    if len(set(map(repr, given.values()))) > 1:
        raise DataError(f"{owner}: {which} is given twice: as {_alternatives(given)}")
    name, text = next(iter(given.items()))
    if not isinstance(text, str):
        raise DataError(f'{owner}: "{name}" must be text, not {type(text).__name__}')
    return text


def quoted(names: Iterable[str]) -> str:
    """Names in quotation marks; ``nothing`` if there are none."""
    return ", ".join(f'"{name}"' for name in names) or "nothing"


def _alternatives(names: Iterable[str]) -> str:
    return " or ".join(f'"{name}"' for name in names)
