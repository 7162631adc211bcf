"""Rows of files that cannot be used."""

from __future__ import annotations

from typing import NamedTuple


class Malformed(NamedTuple):
    """A row that cannot be used.

    Attributes:
        line: Line number, from 1, the header counted.
        why: What is wrong with it.
    """

    line: int
    why: str
