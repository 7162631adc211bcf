"""Pieces of Markdown."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bertmod.recipe.accepted import accepted, resolved
from bertmod.recipe.validate import json_schema

NOTICE = "<!-- Made by `make generated`; edit the code that it comes from. -->"

_SPECIAL = re.compile(r"([\\*<>\[\]|`]|(?<!\w)_|_(?!\w))")
_CODE = re.compile(r"``?([^`]+)``?")


def escaped(text: str) -> str:
    """Plain text as Markdown, with nothing in it taken for markup but `code`."""
    parts, end = [], 0
    for match in _CODE.finditer(text):
        parts += [_SPECIAL.sub(r"\\\1", text[end : match.start()]), code(match[1])]
        end = match.end()
    return "".join([*parts, _SPECIAL.sub(r"\\\1", text[end:])])


def code(text: str) -> str:
    """Text in code type; safe inside a table."""
    if "|" not in text:
        return f"`{text}`"
    # Between backticks the site would show the backslash of an escaped bar.
    shown = html.escape(text, quote=False).replace("|", "&#124;")
    return f"<code>{shown}</code>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace(chr(10), ' ') for cell in row)} |" for row in lines
    )


def page(title: str, *parts: str) -> str:
    """A page from its title and its parts."""
    return "\n\n".join([NOTICE, f"# {title}", *(part.strip() for part in parts if part)]) + "\n"


def options_table(model: type[BaseModel]) -> str:
    """What a model's options accept, their defaults and meanings; a sentence if there are none."""
    schema = json_schema(model)
    rows = [
        [
            code(name),
            escaped(accepted(field, schema)),
            _default(field, name, schema),
            _meaning(field, schema),
        ]
        for name, field in schema.get("properties", {}).items()
    ]
    if not rows:
        return "No options."
    return table(["option", "takes", "default", "meaning"], rows)


def _default(field: Mapping[str, Any], name: str, schema: Mapping[str, Any]) -> str:
    if name in schema.get("required", ()):
        return "required"
    value = field.get("default")
    if isinstance(value, dict) and value:
        return "as below"
    return code(json.dumps(value, ensure_ascii=False))


def _meaning(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    described = {**resolved(field, schema), **field}
    return escaped(str(described.get("description", "")))
