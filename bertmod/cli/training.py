"""Making one run, or going on with it, as the command line does it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertmod.cli.invocation import invocation
from bertmod.cli.terminal import show_warnings
from bertmod.errors import BertmodError, RunFolderError
from bertmod.recipe.load import load_recipe
from bertmod.recipe.processes import is_main_process, number_of_processes
from bertmod.recipe.resolve import resolve
from bertmod.recipe.resolved import ResolvedRecipe

_LATER_SECONDS = 1.0
SYNTHETIC = "The built-in sample is synthetic: its scores say that training works, no more."


def stored_recipe(folder: Path) -> ResolvedRecipe:
    """The resolved recipe of the run in a folder.

    Raises:
        RunFolderError: If there is no run.
    """
    path = folder / "recipe.json"
    if not path.is_file():
        remedy = "name its folder with --output, or leave --resume out to start it"
        if any(folder.glob("seed-*/recipe.json")):
            remedy = "it has runs of several seeds: name them with --seeds"
        raise RunFolderError(f"{folder}: no run to resume here (it has no recipe.json)\n  {remedy}")
    return resolve(load_recipe(str(path)), invocation().registry)


def train_run(
    resolved: ResolvedRecipe,
    folder: Path,
    *,
    resume: bool,
    quiet: bool,
    strict_data: bool,
    tell: bool = True,
) -> None:
    """Train, evaluate and save.

    Args:
        resolved: The recipe; when resuming, as ``resumed_recipe`` gave it.
        folder: The run folder.
        resume: Whether to go on from its newest checkpoint.
        quiet: Whether to show no progress.
        strict_data: Whether a malformed train or dev row is an error.
        tell: Whether to print the table of every task.
    """
    from bertmod.assemble.run import train
    from bertmod.engine.data_parallel import home_device
    from bertmod.engine.parallel import joined_ranks
    from bertmod.engine.summary import render_results

    show_warnings()
    gpu = home_device(resolved.training.device, resolved.training.parallel).type == "cuda"
    states_files = [getattr(task.config, "train", None) for task in resolved.training_tasks]
    synthetic = resolved.data.dir == "sample" and not all(states_files)
    with joined_ranks(number_of_processes(), gpu=gpu) as ranks, _first_seen_first():
        results = train(
            resolved,
            invocation().registry,
            folder,
            resume=resume,
            strict_data=strict_data,
            quiet=quiet,
            preface=SYNTHETIC if synthetic else "",
            ranks=ranks,
        )
    if tell and ranks.is_main:
        title = f"{resolved.title}: {folder}"
        print(render_results(results, title=f"{title}\n{SYNTHETIC}" if synthetic else title))


@contextmanager
def _first_seen_first() -> Iterator[None]:
    """Of several processes that fail, let the one that failed first end first, or the main one.

    The others hear of it as soon as it leaves them, so it must be about to end by then.
    """
    from bertmod.engine.parallel import LostProcessError

    try:
        yield
    except BertmodError as error:
        if isinstance(error, LostProcessError) or not is_main_process():
            time.sleep(_LATER_SECONDS)
        raise
