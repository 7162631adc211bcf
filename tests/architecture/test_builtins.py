"""Built-in plugins have no back door: they use what a stranger's plugin may use."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

import bertmod

if TYPE_CHECKING:
    from conftest import Source

# torch may be named for types and inside builders; test_light.py sees to the rest.
ALLOWED = {"bertmod", "pydantic", "numpy", "torch", "__future__"} | set(sys.stdlib_module_names)


def plugins(package: dict[str, Source]) -> list[Source]:
    """The plugin modules of bertmod's own components."""
    return [
        source
        for name, source in package.items()
        if name.endswith(".plugin") and name.startswith(("bertmod.builtin.", "bertmod.cli."))
    ]


def foreign(source: Source) -> list[str]:
    """Imports of a plugin module beyond the public surface and its own package."""
    own = source.name.rpartition(".")[0]
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        for name in names:
            inside = name == own or name.startswith(f"{own}.")
            reaches_in = name.startswith("bertmod.") and not inside
            if reaches_in or name.split(".")[0] not in ALLOWED:
                found.append(f"{source.shown}:{node.lineno}: {ast.unparse(node)}")
    return found


def test_plugins_import_the_public_surface_alone(package: dict[str, Source]) -> None:
    found = [text for source in plugins(package) for text in foreign(source)]
    assert not found, "\n" + "\n".join(found)


def test_plugins_use_names_that_bertmod_exports(package: dict[str, Source]) -> None:
    found = [
        f"{source.shown}:{node.lineno}: {alias.name}"
        for source in plugins(package)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "bertmod"
        for alias in node.names
        if alias.name not in bertmod.__all__
    ]
    assert not found


def test_plugins_state_their_contract(package: dict[str, Source]) -> None:
    silent = [
        source.shown
        for source in plugins(package)
        if not any(
            isinstance(node, ast.Assign)
            and ast.unparse(node) == f"BERTMOD_CONTRACT = {bertmod.CONTRACT}"
            for node in source.tree.body
        )
    ]
    assert not silent


def test_every_builtin_folder_is_a_plugin(package: dict[str, Source]) -> None:
    folders = {
        name for name in package if name.startswith("bertmod.builtin.") and name.count(".") == 2
    }
    assert folders
    assert {f"{name}.plugin" for name in folders} <= set(package)
