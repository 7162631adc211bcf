"""``bertmod new-plugin``: a distribution with one component that works, to be changed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from bertmod.cli.invocation import invocation
from bertmod.scaffold import NewPlugin, new_plugin, write_plugin
from bertmod.wording import article

CHECKED_WITH = {"loader": " --checkpoint FOLDER"}
"""What a kind's recipe leaves to the command line."""


def make_plugin(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Kind: adapter, task, metric ...")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Component's name, lower_snake.")],
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder to make; default: ./bertmod-NAME."),
    ] = None,
) -> None:
    """Write a new plugin: package, tests, recipe, README. It installs and works as it is."""
    plugin = new_plugin(kind, name, invocation().registry)
    target = Path(plugin.distribution) if output is None else output
    files = write_plugin(plugin, target)
    print(f'{target}: {article(plugin.kind)} called "{plugin.name}"')
    for file in files:
        print(f"  {file}")
    print("\nnext:")
    for line in _next_steps(plugin, target, files):
        print(f"  {line}")


def _next_steps(plugin: NewPlugin, target: Path, files: tuple[Path, ...]) -> list[str]:
    """The commands from the rendered folder to a recipe that uses it."""
    recipes = [file for file in files if file.parts[0] == "recipes"]
    return [
        f"cd {shlex.quote(str(target))}",
        "pip install -e '.[test]'",
        "pytest",
        f"bertmod show {plugin.kind} {plugin.name}",
        *(f"bertmod check {recipe}{CHECKED_WITH.get(plugin.kind, '')}" for recipe in recipes),
    ]
