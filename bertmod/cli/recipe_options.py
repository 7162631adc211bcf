"""The arguments that every command on a recipe takes, and resolving it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from bertmod.cli.invocation import invocation
from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.recipe.shipped import find_recipe

RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A recipe's file, or the name of one that ships with bertmod: pals_anneal.",
    ),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="DIR", help='Data folder in place of the recipe\'s; or "sample".'
    ),
]
CheckpointOption = Annotated[
    str | None,
    typer.Option(
        "--checkpoint", metavar="PATH", help="Checkpoint to start from, in place of the recipe's."
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=JSON",
        help="Set a value of the recipe: training.num_epochs=5; repeatable.",
    ),
]
StrictDataOption = Annotated[
    bool,
    typer.Option("--strict-data", help="A malformed train or dev row is an error, not a warning."),
]


def resolve_from_cli(
    recipe: str,
    *,
    data: str | None = None,
    checkpoint: str | None = None,
    overrides: Sequence[str] | None = None,
    tell: bool = True,
) -> ResolvedRecipe:
    """Find, read and prove the recipe that a command was given; tells what was replaced.

    Args:
        recipe: File, or name of a recipe that ships with bertmod.
        data: ``--data``.
        checkpoint: ``--checkpoint``.
        overrides: ``--set``, in order.
        tell: Whether to say what was replaced.

    Raises:
        RecipeError: If there is no such recipe, or anything in it is wrong.
    """
    raw = load_recipe(find_recipe(recipe), overrides=overrides or ())
    resolved = resolve(raw, invocation().registry, data=data, checkpoint=checkpoint)
    for note in resolved.notes if tell else ():
        print(f"note: {note}", file=sys.stderr)
    return resolved
