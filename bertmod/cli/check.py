"""``bertmod check``: every problem of a recipe at once."""

from __future__ import annotations

from bertmod.cli.recipe_options import (
    CheckpointOption,
    DataOption,
    RecipeArgument,
    SetOption,
    resolve_from_cli,
)
from bertmod.recipe.report import summary


def check(
    recipe: RecipeArgument,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    set_: SetOption = None,
) -> None:
    """Print that a recipe has no problems, and what it amounts to."""
    resolved = resolve_from_cli(recipe, data=data, checkpoint=checkpoint, overrides=set_)
    print(f"{resolved.title}: no problems")
    for line in summary(resolved):
        print(f"  {line}")
