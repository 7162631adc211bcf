"""Small pieces of the sentences in which problems are told."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

LONGEST_VALUE = 120
"""Longest value shown in a message, characters."""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """``, did you mean "x"?`` if a candidate is near enough to ``name``, else nothing."""
    near = difflib.get_close_matches(name, sorted(set(candidates)), n=1, cutoff=0.6)
    return f', did you mean "{near[0]}"?' if near else ""


def shown(value: Any) -> str:
    """A value as JSON, cut to one short line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 4] + " ..."


def listed(names: Iterable[str]) -> str:
    """Names with commas between them; ``none`` if there are none."""
    return ", ".join(names) or "none"


def article(noun: str) -> str:
    """A noun with ``a`` or ``an`` before it."""
    return f"{'an' if noun[:1] in 'aeio' else 'a'} {noun}"


def counted(count: int, noun: str) -> str:
    """A count with its noun, which gets an ``s`` unless there is one."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def table(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """Lines in which every column is as wide as its longest cell.

    Args:
        rows: Cells of text, as many in every row.
        right: Columns set flush right, from 0.
    """
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
