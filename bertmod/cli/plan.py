"""``bertmod plan``: what a run would do, with its cost."""

from __future__ import annotations

from bertmod.cli.invocation import invocation
from bertmod.cli.recipe_options import (
    CheckpointOption,
    DataOption,
    RecipeArgument,
    SetOption,
    StrictDataOption,
    resolve_from_cli,
)
from bertmod.cli.terminal import show_warnings


def plan(
    recipe: RecipeArgument,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    set_: SetOption = None,
    strict_data: StrictDataOption = False,
) -> None:
    """Print parameters, steps, expected updates, cut rows, memory and measured time."""
    resolved = resolve_from_cli(recipe, data=data, checkpoint=checkpoint, overrides=set_)
    from bertmod.assemble.data import found_labels
    from bertmod.assemble.run import assemble
    from bertmod.planning import make_plan, render_plan

    show_warnings()
    assembled = assemble(resolved, invocation().registry, strict_data=strict_data)
    labels = found_labels(assembled.prepared.values())
    print("\n".join([resolved.title, *labels, render_plan(make_plan(assembled))]))
