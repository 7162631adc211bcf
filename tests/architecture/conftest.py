"""The project's own source files, parsed once."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Source:
    """One Python file: its dotted name, where it lies, its text and its syntax tree."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def shown(self) -> str:
        return self.path.relative_to(ROOT).as_posix()


def _read(path: Path) -> Source:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    text = path.read_text(encoding="utf-8")
    return Source(name, path, text, ast.parse(text, filename=str(path)))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def source_of() -> Callable[[str, str], Source]:
    """Makes the source of a module that does not exist, from its name and text."""
    return lambda name, text: Source(name, ROOT.joinpath(*name.split(".")), text, ast.parse(text))


@pytest.fixture(scope="session")
def package() -> dict[str, Source]:
    """Every module of bertmod by dotted name."""
    sources = [_read(path) for path in sorted((ROOT / "bertmod").rglob("*.py"))]
    return {source.name: source for source in sources}


@pytest.fixture(scope="session")
def programs(package: dict[str, Source]) -> list[Source]:
    """Every module that is not a test: bertmod, tools, benchmarks, shipped plugins."""
    folders = [ROOT / name for name in ("tools", "benchmarks", "plugins")]
    others = [
        _read(path)
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.rglob("*.py"))
        if "tests" not in path.parts
    ]
    return [*package.values(), *others]
