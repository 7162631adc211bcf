"""JSON files whose every value knows where it stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertmod.errors import DataError

_HALF = re.compile(r"[\ud800-\udfff]")

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "text",
    int: "a whole number",
    bool: "true or false",
}


@dataclass(frozen=True)
class Node:
    """A value of a JSON file.

    Attributes:
        file: The file.
        form: What the file should be, for messages: ``a SQuAD file``.
        place: Where the value stands: ``data[0].paragraphs``; empty for the whole.
        value: The value.
    """

    file: Path
    form: str
    place: str
    value: Any

    def has(self, key: str) -> bool:
        """Whether an object has a key."""
        return key in self._as(dict)

    def list(self, key: str) -> Iterator[Node]:
        """The items of the list under a key."""
        child = self._child(key)
        for number, item in enumerate(child._as(list)):
            yield Node(self.file, self.form, f"{child.place}[{number}]", item)

    def text(self, key: str) -> str:
        """The text under a key."""
        child = self._child(key)
        text = str(child._as(str))
        if not text.isascii() and _HALF.search(text):
            raise child.wrong("half of a surrogate pair (\\ud800 to \\udfff) stands alone")
        return text

    def number(self, key: str) -> int:
        """The whole number under a key."""
        return int(self._child(key)._as(int))

    def flag(self, key: str) -> bool:
        """Whether true stands under a key; false where there is no such key."""
        return self.has(key) and bool(self._child(key)._as(bool))

    def wrong(self, what: str) -> DataError:
        """The error that something is wrong here."""
        return DataError(f"{self.file}, {self.place or 'top level'}: {what}")

    def _child(self, key: str) -> Node:
        values = self._as(dict)
        child = Node(self.file, self.form, f"{self.place}.{key}".lstrip("."), values.get(key))
        if key not in values:
            raise child.wrong(f"missing, so this is not {self.form}")
        return child

    def _as(self, kind: type) -> Any:
        # JSON's true is an int to Python.
        if isinstance(self.value, kind) and (kind is not int or not isinstance(self.value, bool)):
            return self.value
        found = "null" if self.value is None else _KINDS.get(type(self.value), "a number")
        raise self.wrong(f"must be {_KINDS[kind]}, not {found}, so this is not {self.form}")


def read_json(path: Path, *, form: str) -> Node:
    """The whole of a JSON file: UTF-8, with or without byte-order mark.

    Args:
        path: The file.
        form: What it should be, for messages about what is in it.

    Raises:
        DataError: If it cannot be read or is not JSON; the message names line and column.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return Node(path, form, "", json.loads(text))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        what = f"byte {error.start + 1} is not UTF-8"
        raise DataError(f"{path}: {what}\n  save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DataError(f"{path}, {place}: not JSON: {error.msg}") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise DataError(f"{path}: not JSON: {str(error).split(';')[0]}") from error
    except RecursionError as error:
        raise DataError(f"{path}: not {form}: nested too deeply") from error
