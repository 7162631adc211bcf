"""The recipes that ship with bertmod, and finding a recipe by what the user typed."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import bertmod
from bertmod.errors import Problem, RecipeError
from bertmod.wording import listed

_PACKAGE = Path(bertmod.__file__).parent


def recipes_folder() -> Path | None:
    """The folder of the recipes that ship with bertmod: in the package, or beside a checkout's."""
    for folder in (_PACKAGE / "recipes", _PACKAGE.parent / "recipes"):
        if folder.is_dir():
            return folder
    return None


def shipped_recipes() -> dict[str, Path]:
    """The recipes that ship with bertmod: name, such as ``paper/pals_anneal``, to file."""
    folder = recipes_folder()
    if folder is None:
        return {}
    files = sorted(folder.rglob("*.json"))
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def find_recipe(typed: str) -> str:
    """The file of a recipe: a path, or the bare name of one that ships with bertmod.

    Raises:
        RecipeError: If there is neither; near names are listed.
    """
    if os.path.exists(typed):
        return typed
    shipped = shipped_recipes()
    if typed in shipped:
        file = shipped[typed]
        return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)
    raise RecipeError(typed, [Problem("(file)", "there is no such recipe", _near(typed, shipped))])


def _near(typed: str, shipped: dict[str, Path]) -> tuple[str, ...]:
    folder = Path(typed).parent
    beside = sorted(str(folder / file.name) for file in folder.glob("*.json"))
    near = difflib.get_close_matches(typed, [*beside, *shipped], n=3)
    lines = ["did you mean " + " or ".join(f'"{name}"' for name in near) + "?"] if near else []
    return (*lines, f"recipes that ship with bertmod: {listed(shipped)}")
