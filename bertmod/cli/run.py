"""``bertmod run``: train what a recipe describes."""

from __future__ import annotations

from pathlib import Path
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
from bertmod.errors import RunFolderError
from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.recipe.resume import resumed_recipe

SYNTHETIC = "The built-in sample is synthetic: its scores say that training works, no more."

OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="DIR", help="Run folder; runs/ and the recipe's name otherwise."
    ),
]


def run(
    recipe: RecipeArgument,
    data: DataOption = None,
    checkpoint: CheckpointOption = None,
    output: OutputOption = None,
    set_: SetOption = None,
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
    stored = _stored(folder) if resume else None
    if stored is not None:
        checkpoint_slot = stored.checkpoint
        data = data or stored.data.dir
        checkpoint = checkpoint or (checkpoint_slot.keys.path if checkpoint_slot else None)
    resolved = resolve_from_cli(recipe, data=data, checkpoint=checkpoint, overrides=set_)
    if stored is not None:
        resolved = resumed_recipe(stored, resolved)
    _train(resolved, folder, resume=resume, quiet=quiet, strict_data=strict_data)


def _stored(folder: Path) -> ResolvedRecipe:
    path = folder / "recipe.json"
    if not path.is_file():
        raise RunFolderError(
            f"{folder}: no run to resume here (it has no recipe.json)\n"
            "  name its folder with --output, or leave --resume out to start it"
        )
    return resolve(load_recipe(str(path)), invocation().registry)


def _train(
    resolved: ResolvedRecipe, folder: Path, *, resume: bool, quiet: bool, strict_data: bool
) -> None:
    from bertmod.assemble.run import train
    from bertmod.engine.summary import render_results

    show_warnings()
    synthetic = resolved.data.dir == "sample"
    results = train(
        resolved,
        invocation().registry,
        folder,
        resume=resume,
        strict_data=strict_data,
        quiet=quiet,
        preface=SYNTHETIC if synthetic else "",
    )
    title = f"{resolved.title}: {folder}"
    print(render_results(results, title=f"{title}\n{SYNTHETIC}" if synthetic else title))
