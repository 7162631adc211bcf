"""``bertmod run``: train what a recipe describes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from bertmod.cli.invocation import invocation
from bertmod.cli.launch import (
    check_nproc,
    follow_launcher,
    launch,
    require_devices,
)
from bertmod.cli.recipe_options import (
    CheckpointOption,
    DataOption,
    RecipeArgument,
    SetOption,
    StrictDataOption,
    resolve_from_cli,
)
from bertmod.cli.seeds import (
    check_seeds,
    parse_seeds,
    plan_series,
    refuse_set_seed,
    run_series,
    stored_example,
)
from bertmod.cli.training import stored_recipe, train_run
from bertmod.recipe.processes import is_main_process, number_of_processes, require_processes
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.recipe.resume import resumed_recipe

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="DIR", help="Run folder; runs/ and the recipe's name otherwise."
    ),
]
SeedsOption = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        metavar="SEED,SEED...",
        help="One run for each of these seeds, in seed-SEED of the run folder: 1,2,3.",
        callback=check_seeds,
    ),
]

NprocOption = Annotated[
    int | None,
    typer.Option(
        "--nproc",
        metavar="N",
        min=1,
        help="Processes of this machine that share every step, one for each GPU.",
        callback=check_nproc,
    ),
]


def run(
    recipe: RecipeArgument,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    output: OutputOption = None,
    set_: SetOption = None,
    seeds: SeedsOption = None,
    nproc: NprocOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's newest checkpoint.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Show warnings and the final table only.")
    ] = False,
    strict_data: StrictDataOption = False,
) -> None:
    """Train, evaluate and save; ends with a table of every task."""
    folder = output or Path("runs") / Path(recipe).stem
    series = None if seeds is None else parse_seeds(seeds)
    if series is not None:
        refuse_set_seed(recipe, set_ or ())
        _refuse_processes(nproc)
    stored = _stored(folder, series) if resume else None
    if stored is not None:
        checkpoint_slot = stored.checkpoint
        data = data or stored.data.dir
        checkpoint = checkpoint or (checkpoint_slot.keys.path if checkpoint_slot else None)
    starts_others = nproc is not None and nproc > 1
    speaks = is_main_process() and not starts_others
    resolved = resolve_from_cli(
        recipe, data=data, checkpoint=checkpoint, overrides=set_, tell=speaks
    )
    if series is not None:
        require_processes(resolved, 1)
        runs = plan_series(resolved, series, folder, resume=resume)
        run_series(runs, quiet=quiet, strict_data=strict_data)
        return
    if nproc is not None:
        require_devices(nproc, resolved.training.device)
    require_processes(resolved, nproc or number_of_processes())
    if stored is not None:
        resolved = resumed_recipe(stored, resolved)
    if nproc is not None and starts_others:
        flags = {"--resume": resume, "--quiet": quiet, "--strict-data": strict_data}
        call = invocation()
        flags |= {"--debug": call.debug, "--strict-plugins": call.strict_plugins}
        options = {"--data": data, "--checkpoint": checkpoint, "--output": folder}
        sys.exit(launch(_words(recipe, options, set_ or (), flags), nproc, folder))
    follow_launcher()
    train_run(resolved, folder, resume=resume, quiet=quiet, strict_data=strict_data)


def _refuse_processes(nproc: int | None) -> None:
    if (nproc or number_of_processes()) > 1:
        raise typer.BadParameter(
            "a series of seeds is made by one process; make one run for each seed: "
            "--set seed=1 --nproc N --output DIR"
        )


def _words(
    recipe: str,
    options: Mapping[str, str | Path | None],
    overrides: Sequence[str],
    flags: Mapping[str, bool],
) -> list[str]:
    """The command line of each of the processes that share a run."""
    words = ["run", recipe]
    for name, value in options.items():
        words += [] if value is None else [name, str(value)]
    for text in overrides:
        words += ["--set", text]
    return [*words, *(name for name, given in flags.items() if given)]


def _stored(folder: Path, series: tuple[int, ...] | None) -> ResolvedRecipe | None:
    """What was begun in a folder, whose data and checkpoint need not be named again."""
    return stored_recipe(folder) if series is None else stored_example(folder, series)
