"""Paths inside a recipe: ``adapters[0].num_heads``."""

from __future__ import annotations

import json
import re
from typing import Any

Path = tuple[str | int, ...]
"""Keys and indices from the top of a recipe."""

_PLAIN = r"[A-Za-z_$][A-Za-z0-9_$-]*"
_STEP = re.compile(
    rf'(?P<dot>\.?)(?:(?P<key>{_PLAIN})|\[(?P<index>\d+)\]|\[(?P<quoted>"[^"\\]*")\])'
)


def path_text(path: Path) -> str:
    """A path as messages show it; a key that is not a plain word is quoted in brackets."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif re.fullmatch(_PLAIN, step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


def parse_path(text: str) -> tuple[Path, str]:
    """The path that a text begins with, and what comes behind it."""
    steps: list[str | int] = []
    position = 0
    while match := _STEP.match(text, position):
        if match["key"] is not None and bool(match["dot"]) != bool(steps):
            break
        if match["key"] is None and match["dot"]:
            break
        steps.append(_step(match))
        position = match.end()
    return tuple(steps), text[position:]


def _step(match: re.Match[str]) -> str | int:
    if match["key"] is not None:
        return match["key"]
    return int(match["index"]) if match["index"] is not None else match["quoted"][1:-1]


def whole_path(text: str) -> Path:
    """The path that a text is; a text that is none is one key."""
    path, rest = parse_path(text)
    return (text,) if rest else path


def present(document: Any, path: Path) -> bool:
    """Whether a document has something at a path."""
    for step in path:
        if isinstance(document, dict):
            inside = step in document
        else:
            inside = isinstance(document, list) and step in range(len(document))
        if not inside:
            return False
        document = document[step]
    return True


def positions(document: Any) -> dict[Path, int]:
    """Every path of a document with its place in reading order, from 0."""
    found: dict[Path, int] = {}

    def visit(value: Any, path: Path) -> None:
        found[path] = len(found)
        if isinstance(value, dict):
            for key, item in value.items():
                visit(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                visit(item, (*path, index))

    visit(document, ())
    return found
