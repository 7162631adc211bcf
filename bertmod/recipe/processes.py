"""How many processes make a run together, and whether its recipe can be shared by them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from bertmod.errors import Problem, RecipeError
from bertmod.wording import listed

if TYPE_CHECKING:
    from bertmod.recipe.resolved import ResolvedRecipe


LAUNCHER = "BERTMOD_LAUNCHER"
"""Variable with the id of the process that ``--nproc`` was given to, for those that it starts."""


def number_of_processes() -> int:
    """How many processes make a run together with this one, as torchrun or ``--nproc`` set them."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_main_process() -> bool:
    """Whether this process speaks: it is alone, or the first of several."""
    return number_of_processes() == 1 or os.environ["RANK"] == "0"


def is_launched() -> bool:
    """Whether ``--nproc`` started this process."""
    return os.environ.get(LAUNCHER) == str(os.getppid())


def require_processes(recipe: ResolvedRecipe, size: int) -> None:
    """Refuse a recipe whose batches or device cannot be shared.

    Args:
        recipe: The recipe as it was given.
        size: Processes that make the run together, positive.

    Raises:
        RecipeError: Naming everything in the way.
    """
    problems = _alone(recipe) if size == 1 else [*_place(recipe, size), *_batches(recipe, size)]
    if problems:
        raise RecipeError(recipe.title, problems)


def _alone(recipe: ResolvedRecipe) -> list[Problem]:
    if recipe.training.parallel != "fsdp":
        return []
    what = '"fsdp" shares a model between processes, and there is one'
    more = ("start several: --nproc N, or torchrun", 'or use "auto", "single" or "ddp"')
    return [Problem("training.parallel", what, more)]


def _place(recipe: ResolvedRecipe, size: int) -> list[Problem]:
    found, training = [], recipe.training
    if training.parallel in ("single", "data_parallel"):
        what = f'"{training.parallel}" is for one process, and there are {size}'
        more = ('accepted here: "auto", "ddp" or "fsdp"', "or start one process")
        found.append(Problem("training.parallel", what, more))
    if training.device.startswith("cuda:"):
        what = f'"{training.device}" is one GPU, and each of {size} processes has its own'
        found.append(Problem("training.device", what, ('accepted here: "auto", "cpu" or "cuda"',)))
    if training.compile and training.parallel == "fsdp":
        what = 'torch.compile does not follow the layers of "fsdp": each would fall into pieces'
        found.append(Problem("training.compile", what, ('use false, or training.parallel "ddp"',)))
    return found


def _batches(recipe: ResolvedRecipe, size: int) -> list[Problem]:
    training = recipe.training
    steps = training.gradient_accumulation_steps
    shares = size * steps
    batches = {"training.global_batch_size": training.global_batch_size}
    for number, task in enumerate(recipe.tasks):
        if task.keys.batch_size is not None:
            batches[f"tasks[{number}].batch_size"] = task.keys.batch_size
    times = f" times gradient_accumulation_steps {steps}" if steps > 1 else ""
    return [
        Problem(
            path,
            f"{batch} cannot be shared evenly by {size} processes{times}",
            (f"use a multiple of {shares}, or {_fitting(batch // steps)} processes",),
        )
        for path, batch in batches.items()
        if batch % shares
    ]


def _fitting(micro_batch: int) -> str:
    """The numbers of processes that divide a micro-batch."""
    found = [str(n) for n in range(1, min(micro_batch, 64) + 1) if micro_batch % n == 0]
    return listed(found)
