"""``bertmod schema``: the JSON Schema of recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bertmod.cli.invocation import invocation
from bertmod.errors import RunFolderError
from bertmod.recipe.report import recipe_schema


def schema(
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="FILE", help="File to write; standard output if none."),
    ] = None,
) -> None:
    """Write the JSON Schema of a recipe with the options of everything installed."""
    text = json.dumps(recipe_schema(invocation().registry), indent=2, ensure_ascii=False) + "\n"
    if output is None:
        print(text, end="")
        return
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise RunFolderError(f"cannot write {output}: {error.strerror}") from None
