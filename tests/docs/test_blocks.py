"""Code on the pages runs, recipes on the pages are right, commands on the pages exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main

from bertmod.cli.program import build_app
from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve
from bertmod.registry import Registry, load_registry

if TYPE_CHECKING:
    from conftest import Block

SHORTEST_RECIPE = {"schema_version": 1, "tasks": [{"name": "mrpc"}]}


@pytest.fixture(scope="module")
def registry() -> Registry:
    """What ships with bertmod."""
    return load_registry()


@pytest.fixture(scope="module")
def program(registry: Registry) -> Any:
    """The program's command group."""
    return typer.main.get_command(build_app([(e.spec.name, e) for e in registry.commands()]))


def test_python(python_page: Sequence[Block], root: Path, tmp_path: Path) -> None:
    """The Python blocks of a page run one after another in a fresh interpreter."""
    blocks = [b for b in python_page if b.language == "python" and not b.reason]
    if not blocks:
        pytest.skip("no block of this page stands alone")
    program = tmp_path / "page.py"
    program.write_text("\n\n".join(block.text for block in blocks), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_recipes(json_block: Block, registry: Registry, root: Path, tmp_path: Path) -> None:
    """A JSON block is a recipe, or a part of one that a short recipe takes."""
    if json_block.reason:
        pytest.skip(json_block.reason)
    stated = json.loads(json_block.text)
    for parent in (root / "recipes").glob("*.json"):
        (tmp_path / parent.name).write_bytes(parent.read_bytes())
    path = tmp_path / "page.json"
    recipe = stated if "extends" in stated else {**SHORTEST_RECIPE, **stated}
    if recipe.get("checkpoint", {}).get("path", "") is None:
        recipe.pop("checkpoint")  # the page asks for --checkpoint, which the reader has
    path.write_text(json.dumps(recipe), encoding="utf-8")
    resolve(load_recipe(path), registry)


def commands(block: Block) -> Iterator[list[str]]:
    """The command lines of a block, split into words."""
    text = block.text.replace("\\\n", " ")
    for line in text.splitlines():
        if block.language == "console" and not line.startswith("$ "):
            continue
        for part in line.removeprefix("$ ").split(" && "):
            words = shlex.split(part, comments=True)
            if words:
                yield words


def check_bertmod(words: Sequence[str], program: Any) -> None:
    """The command exists and takes these options, and as many arguments."""
    context = typer.Context(program, info_name="bertmod")
    command = program.get_command(context, words[0])
    assert command is not None, f"no command {words[0]}"
    command.make_context(words[0], list(words[1:]), resilient_parsing=False)


def test_commands(shell_block: Block, program: Any, root: Path) -> None:
    """``bertmod`` and ``make`` lines name commands, options and targets that exist."""
    targets = re.findall(r"^([a-z-]+):", (root / "Makefile").read_text("utf-8"), re.MULTILINE)
    for words in commands(shell_block):
        if words[0] == "bertmod":
            check_bertmod(words[1:], program)
        elif words[0] == "make":
            named = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
            assert set(named) <= set(targets)
        elif words[0].endswith("python") and words[1].startswith("tools/"):
            assert (root / words[1]).exists()


def test_links_between_files(root: Path) -> None:
    """Relative links of the pages outside the site lead somewhere; mkdocs checks the others."""
    for name in ("README.md", "CONTRIBUTING.md", "RELEASING.md", "CHANGELOG.md"):
        text = (root / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
            assert (root / target).exists(), f"{name}: {target}"
