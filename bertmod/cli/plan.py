"""``bertmod plan``: what a run would do, with its cost."""

from __future__ import annotations

from dataclasses import replace
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
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.wording import counted

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
    from bertmod.assemble.data import found_labels, found_texts
    from bertmod.assemble.run import assemble
    from bertmod.planning.plan import make_plan, render_plan
    from bertmod.planning.process import process_peak
    from bertmod.planning.shares import prepare_process

    show_warnings()
    prepare_process(resolved.training.parallel)
    libraries = process_peak() or 0
    resolved, notes = _on_this_machine(resolved)
    assembled = assemble(resolved, invocation().registry, strict_data=strict_data)
    tasks = assembled.prepared.values()
    found = [*found_labels(tasks), *found_texts(tasks)]
    plan = make_plan(assembled, libraries=libraries, processes=nproc)
    print("\n".join([resolved.title, *notes, *found, render_plan(plan)]))


def _on_this_machine(recipe: ResolvedRecipe) -> tuple[ResolvedRecipe, list[str]]:
    """The recipe, for one device where there are no GPUs to share a step; what to say of that."""
    from bertmod.engine.data_parallel import gpus

    if recipe.training.parallel != "data_parallel" or len(gpus()) > 1:
        return recipe, []
    note = (
        'planned as one device that computes all rows: "data_parallel" is for two GPUs or more, '
        f"and this machine has {counted(len(gpus()), 'GPU') if gpus() else 'none'}"
    )
    alone = recipe.training.model_copy(update={"parallel": "single"})
    return replace(recipe, training=alone), [note]
