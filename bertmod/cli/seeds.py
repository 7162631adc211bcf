"""A series of runs of one recipe, one for each seed."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from bertmod.cli.training import SYNTHETIC, stored_recipe, train_run
from bertmod.errors import BertmodError, Problem, RecipeError, RunFolderError
from bertmod.recipe.paths import parse_path
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.recipe.resume import resumed_recipe
from bertmod.wording import listed

LARGEST = 2**63 - 1


@dataclass(frozen=True)
class SeedRun:
    """One run of a series.

    Attributes:
        seed: Its seed.
        folder: Its run folder.
        recipe: Its recipe.
        resume: Whether the folder holds a part of it already.
        finished: Whether the folder holds all of it.
    """

    seed: int
    folder: Path
    recipe: ResolvedRecipe
    resume: bool = False
    finished: bool = False


def parse_seeds(text: str) -> tuple[int, ...]:
    """The seeds that ``--seeds`` lists.

    Raises:
        typer.BadParameter: If one is no integer from 0 to 2**63 - 1, or is there twice.
    """
    seeds: list[int] = []
    for word in (part.strip() for part in text.split(",")):
        if not re.fullmatch(r"[0-9]+", word) or int(word) > LARGEST:
            raise typer.BadParameter(
                f'"{word}" is no seed; accepted: integers from 0 to 2**63 - 1 with commas '
                "between them, such as 1,2,3"
            )
        if int(word) in seeds:
            raise typer.BadParameter(f"seed {int(word)} is there twice")
        seeds.append(int(word))
    return tuple(seeds)


def check_seeds(text: str | None) -> str | None:
    """``--seeds`` as it was typed, once it is known to be right."""
    if text is not None:
        parse_seeds(text)
    return text


def refuse_set_seed(title: str, overrides: Sequence[str]) -> None:
    """Refuse ``--set seed=...`` beside ``--seeds``.

    Raises:
        RecipeError: If it is there.
    """
    if any(parse_path(text)[0] == ("seed",) for text in overrides):
        what = "--seeds gives every run its seed"
        raise RecipeError(title, [Problem("seed", what, ("leave one of the two out",), "--set")])


def seed_folders(folder: Path, seeds: Sequence[int]) -> dict[int, Path]:
    """Seed to the folder of its run."""
    return {seed: folder / f"seed-{seed}" for seed in seeds}


def stored_example(folder: Path, seeds: Sequence[int]) -> ResolvedRecipe | None:
    """The recipe of the first run of a series that is there; None if none is."""
    for path in seed_folders(folder, seeds).values():
        if (path / "recipe.json").is_file():
            return stored_recipe(path)
    return None


def plan_series(
    resolved: ResolvedRecipe, seeds: Sequence[int], folder: Path, *, resume: bool
) -> list[SeedRun]:
    """The runs of a series, every one of them checked; nothing is started.

    Args:
        resolved: The recipe, whatever its seed.
        seeds: The seeds.
        folder: Where the runs' folders go.
        resume: Whether to go on with runs that are there.

    Raises:
        RunFolderError: If a folder cannot be used.
        RecipeError: If a run was begun with another recipe.
    """
    if folder.exists() and not folder.is_dir():
        raise RunFolderError(f"{folder}: is a file; name a folder with --output")
    if (folder / "recipe.json").is_file():
        raise RunFolderError(
            f"{folder}: already holds a run, a series of seeds needs a folder of its own\n"
            "  name another with --output"
        )
    return [
        _planned(replace(resolved, seed=seed), path, resume=resume)
        for seed, path in seed_folders(folder, seeds).items()
    ]


def _planned(recipe: ResolvedRecipe, folder: Path, *, resume: bool) -> SeedRun:
    from bertmod.engine.run_folder import RunFolder
    from bertmod.inference.scores import is_finished

    if not resume or not (folder / "recipe.json").is_file():
        RunFolder(folder).check()
        return SeedRun(recipe.seed, folder, recipe)
    stored = stored_recipe(folder)
    going_on = resumed_recipe(stored, replace(recipe, title=f"{recipe.title}, {folder}"))
    longer = going_on.training.num_epochs > stored.training.num_epochs
    if not longer and is_finished(folder):
        return SeedRun(recipe.seed, folder, going_on, finished=True)
    with RunFolder(folder, resume=True):
        pass  # nobody else is writing into it
    return SeedRun(recipe.seed, folder, going_on, resume=True)


def run_series(runs: Sequence[SeedRun], *, quiet: bool, strict_data: bool) -> None:
    """Make the runs one after another, then print every task's mean and standard deviation.

    Raises:
        BertmodError: Of the run that failed or was stopped; it names the seed, and those after
            it are not begun.
    """
    for place, run in enumerate(runs):
        if not quiet:
            print(f"seed {run.seed}, {place + 1} of {len(runs)}: {_doing(run)}", file=sys.stderr)
        if run.finished:
            continue
        try:
            train_run(
                run.recipe,
                run.folder,
                resume=run.resume,
                quiet=quiet,
                strict_data=strict_data,
                tell=not quiet,
            )
        except BertmodError as error:
            error.args = (f"seed {run.seed}: {error}\n{_standing(runs, place)}",)
            raise
        except BaseException:
            print(f"seed {run.seed} stopped\n{_standing(runs, place)}", file=sys.stderr)
            raise
        gc.collect()  # the model's cycles, before the next one needs their memory
        sys.stdout.flush()
    _tell(runs)


def _doing(run: SeedRun) -> str:
    if run.finished:
        return f"{run.folder} is finished, passed over"
    return f"{run.folder} goes on" if run.resume else f"{run.folder}"


def _standing(runs: Sequence[SeedRun], place: int) -> str:
    """What of a series is done and what is not, once one of its runs has stopped."""
    done = [str(run.seed) for run in runs[:place]]
    left = [str(run.seed) for run in runs[place + 1 :] if not run.finished]
    return (
        f"  seeds finished before it: {listed(done)}; after it, not begun: {listed(left)}\n"
        "  the same command with --resume goes on with the series"
    )


def _tell(runs: Sequence[SeedRun]) -> None:
    from bertmod.inference.comparison import Method
    from bertmod.inference.comparison_table import render_seeds
    from bertmod.inference.scores import read_run

    last = Method("", tuple(read_run(run.folder, "final") for run in runs))
    best = None
    if runs[0].recipe.saving.best:
        best = Method("", tuple(read_run(run.folder, "mean") for run in runs))
    print(runs[0].folder.parent)
    if runs[0].recipe.data.dir == "sample":
        print(SYNTHETIC)
    print(render_seeds(last, best, last.runs[0].metrics))
