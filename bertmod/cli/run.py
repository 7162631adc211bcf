"""``bertmod run``: train what a recipe describes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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


def run(
    recipe: RecipeArgument,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    output: OutputOption = None,
    set_: SetOption = None,
    seeds: SeedsOption = None,
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
    stored = _stored(folder, series) if resume else None
    if stored is not None:
        checkpoint_slot = stored.checkpoint
        data = data or stored.data.dir
        checkpoint = checkpoint or (checkpoint_slot.keys.path if checkpoint_slot else None)
    resolved = resolve_from_cli(recipe, data=data, checkpoint=checkpoint, overrides=set_)
    if series is not None:
        runs = plan_series(resolved, series, folder, resume=resume)
        run_series(runs, quiet=quiet, strict_data=strict_data)
        return
    if stored is not None:
        resolved = resumed_recipe(stored, resolved)
    train_run(resolved, folder, resume=resume, quiet=quiet, strict_data=strict_data)


def _stored(folder: Path, series: tuple[int, ...] | None) -> ResolvedRecipe | None:
    """What was begun in a folder, whose data and checkpoint need not be named again."""
    return stored_recipe(folder) if series is None else stored_example(folder, series)
