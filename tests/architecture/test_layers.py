"""Imports point down: a module imports from lower levels and from its own package only."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Source

LEVELS = {
    "errors": 0,
    "wording": 0,
    "lazy": 0,
    "contracts": 1,
    "spec_defaults": 1,
    "specs": 2,
    "nn": 2,
    "data": 3,
    "metrics": 2,
    "sample": 2,
    "model": 3,
    "hookspecs": 3,
    "pretraining": 3.75,
    "builtin": 4,
    "engine": 4,
    "plugins": 4,
    "registry": 5,
    "recipe": 6,
    "assemble": 7,
    "library": 7,
    "inference": 8,
    "machine": 8,
    "planning": 8,
    "scaffold": 8,
    "convert": 9,
    "testing": 10,
    "cli": 10,
    "__main__": 11,
}

# `import bertmod` means the re-exported surface: it may be used from above what it re-exports.
SURFACE = 3.5


def level(module: str) -> float:
    """The level of a dotted module name inside bertmod."""
    parts = module.split(".")
    return SURFACE if len(parts) == 1 else LEVELS[parts[1]]


def package_of(module: str) -> str:
    """The part of bertmod whose modules see each other; each built-in folder is one."""
    parts = module.split(".")
    depth = 3 if parts[1:2] == ["builtin"] else 2
    return ".".join(parts[:depth])


def imported(tree: ast.AST, modules: Mapping[str, object]) -> Iterator[tuple[int, str]]:
    """(line, module) of every import of bertmod, those in functions and for types included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "bertmod":
                    yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bertmod":
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield node.lineno, below if below in modules else str(node.module)


def violations(source: Source, modules: Mapping[str, object]) -> Iterator[str]:
    """Every import of one module that does not point down."""
    own = package_of(source.name)
    for line, target in imported(source.tree, modules):
        if package_of(target) == own and own != "bertmod":
            continue
        if level(target) >= level(source.name):
            yield (
                f"{source.shown}:{line}: level {level(source.name):g} imports "
                f"{target}, level {level(target):g}"
            )


def test_every_module_has_a_level(package: dict[str, Source]) -> None:
    unknown = {name for name in package if name != "bertmod" and name.split(".")[1] not in LEVELS}
    assert not unknown, "give these a level, in the table above and in the architecture page"


def test_imports_point_down(package: dict[str, Source]) -> None:
    found = [text for source in package.values() for text in violations(source, package)]
    assert not found, "\n" + "\n".join(found)


def test_no_relative_imports(programs: list[Source]) -> None:
    found = [
        f"{source.shown}:{node.lineno}"
        for source in programs
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not found


@pytest.mark.parametrize(
    ("module", "text", "wrong"),
    [
        ("bertmod.engine.step", "from bertmod.recipe import load", True),
        ("bertmod.engine.step", "def f():\n    from bertmod.recipe.load import read", True),
        ("bertmod.engine.step", "from bertmod.builtin.heads import modules", True),
        ("bertmod.engine.step", "from bertmod import HeadSpec", False),
        ("bertmod.engine.step", "from bertmod import registry", True),
        ("bertmod.engine.step", "from bertmod.engine.precision import cast", False),
        ("bertmod.builtin.tasks.glue", "from bertmod.builtin.heads.modules import Head", True),
        ("bertmod.contracts.batch", "import bertmod", True),
        ("bertmod.cli.run", "import bertmod.assemble", False),
    ],
)
def test_the_rule_itself(
    module: str, text: str, wrong: bool, source_of: Callable[[str, str], Source]
) -> None:
    """The rule finds what it is there to find."""
    known = dict.fromkeys(["bertmod.registry", "bertmod.recipe.load"])
    assert bool(list(violations(source_of(module, text), known))) is wrong
