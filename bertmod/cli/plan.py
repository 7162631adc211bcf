"""``bertmod plan``: what a run would do, with its cost."""

from __future__ import annotations

from typing import Annotated

import typer

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
from bertmod.recipe.processes import require_processes

NprocOption = Annotated[
    int,
    typer.Option(
        "--nproc",
        metavar="N",
        min=1,
        help="Processes that will share every step; none is started.",
    ),
]


def plan(
    recipe: RecipeArgument,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    set_: SetOption = None,
    nproc: NprocOption = 1,
    strict_data: StrictDataOption = False,
) -> None:
    """Print parameters, steps, expected updates, cut rows, memory and measured time."""
    resolved = resolve_from_cli(recipe, data=data, checkpoint=checkpoint, overrides=set_)
    require_processes(resolved, nproc)
    from bertmod.assemble.data import found_labels
    from bertmod.assemble.run import assemble
    from bertmod.planning.plan import make_plan, render_plan
    from bertmod.planning.process import process_peak

    show_warnings()
    libraries = process_peak() or 0
    assembled = assemble(resolved, invocation().registry, strict_data=strict_data)
    labels = found_labels(assembled.prepared.values())
    plan = make_plan(assembled, libraries=libraries, processes=nproc)
    print("\n".join([resolved.title, *labels, render_plan(plan)]))
