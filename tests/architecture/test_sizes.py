"""Files and functions stay readable, and nothing unfinished is left behind."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Source

LONGEST_FILE = 400
LONGEST_FUNCTION = 60

# A table of code points is data: its length says nothing about how hard it is to read.
TABLES = {"bertmod/builtin/tokenizers/unicode_table.py"}

# Modules whose names say nothing about what is in them.
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}

UNFINISHED = re.compile(r"\bNotImplementedError\b|\b(?:TODO|FIXME|XXX)\b")

# The reference vectors lie beside a development checkout and are known to tests alone.
OUTSIDE = re.compile(r"\.\./shared\b|\bshared/(?:golden|data)\b")


def test_files_are_short(programs: list[Source]) -> None:
    long = {
        source.shown: lines
        for source in programs
        if source.shown not in TABLES and (lines := source.text.count("\n")) > LONGEST_FILE
    }
    assert not long


def test_functions_are_short(programs: list[Source]) -> None:
    long = {
        f"{source.shown}:{node.lineno} {node.name}": lines
        for source in programs
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert not long


def test_names_say_something(programs: list[Source]) -> None:
    vague = [source.shown for source in programs if VAGUE & set(source.name.split("."))]
    assert not vague


def test_nothing_is_unfinished(programs: list[Source]) -> None:
    found = [
        f"{source.shown}:{number}: {line.strip()}"
        for source in programs
        for number, line in enumerate(source.text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not found, "\n" + "\n".join(found)


def test_nothing_outside_the_checkout_is_named(root: Path) -> None:
    """Neither the package, nor its recipes, nor its pages rely on files that a user lacks."""
    files = [
        path
        for folder in ("bertmod", "recipes", "docs", "tools", "plugins")
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in {".py", ".json", ".md", ".toml", ".svg"}
    ]
    found = [
        path.relative_to(root).as_posix()
        for path in files
        if OUTSIDE.search(path.read_text(encoding="utf-8"))
    ]
    assert not found
