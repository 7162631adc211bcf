"""Light modules start without torch: by their syntax, and in a fresh interpreter."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Source

LIGHT = {
    "errors",
    "wording",
    "lazy",
    "contracts",
    "spec_defaults",
    "specs",
    "sample",
    "hookspecs",
    "plugins",
    "registry",
    "recipe",
    "scaffold",
    "machine",
    "pretraining",
    "cli",
}
HEAVY = {"torch", "sklearn", "scipy", "tensorboard", "transformers", "tensorflow"}


def is_light(name: str) -> bool:
    """Whether the module of a dotted name must not need torch when it is imported."""
    parts = name.split(".")
    if len(parts) == 1 or parts[1] in LIGHT:
        return True
    return parts[1] == "builtin" and (parts[-1] in {"plugin", "config"} or len(parts) <= 3)


def at_run_time(body: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a module is imported; not those for types or in functions."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_run_time(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in ("body", "orelse", "finalbody"):
                yield from at_run_time(getattr(node, part, None) or [])
            for handler in getattr(node, "handlers", []):
                yield from at_run_time(handler.body)


def roots(node: ast.Import | ast.ImportFrom) -> set[str]:
    """First parts of the module names that an import statement names."""
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").split(".")[0]}
    return {alias.name.split(".")[0] for alias in node.names}


def test_light_modules_name_nothing_heavy(package: dict[str, Source]) -> None:
    found = [
        f"{source.shown}:{node.lineno}: {ast.unparse(node)}"
        for source in package.values()
        if is_light(source.name)
        for node in at_run_time(source.tree.body)
        if roots(node) & HEAVY
    ]
    assert not found, "\n" + "\n".join(found)


PROGRAM = """
import importlib, json, sys
heavy = {heavy!r}
found = {{}}
for name in {names!r}:
    importlib.import_module(name)
    loaded = sorted(heavy & set(sys.modules))
    if loaded:
        found[name] = loaded
        break
print(json.dumps(found))
"""


def test_light_modules_load_nothing_heavy(package: dict[str, Source], root: Path) -> None:
    """Imported one after another in a fresh interpreter; names the first that loads torch."""
    names = sorted(name for name in package if is_light(name))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(heavy=HEAVY, names=names)],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def test_the_rule_itself() -> None:
    """Imports for types and in functions are left out; those in try and else are not."""
    tree = ast.parse(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "def f():\n    import torch\n"
        "try:\n    import scipy\nexcept ImportError:\n    import sklearn\n"
        "class C:\n    import tensorboard\n"
    )
    names = [root for node in at_run_time(tree.body) for root in roots(node)]
    assert names == ["typing", "scipy", "sklearn", "tensorboard"]
