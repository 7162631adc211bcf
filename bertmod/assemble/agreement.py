"""Whether the processes of a run were given the same recipe and the same files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertmod.engine.parallel import Ranks
from bertmod.errors import DataError, Problem, RecipeError
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.recipe.resume import differences

_SHOWN = 5


def require_same_recipe(recipe: ResolvedRecipe, ranks: Ranks) -> None:
    """Compare every process's recipe with the main one's.

    Args:
        recipe: This process's, with what ``auto`` came to on its machine.
        ranks: The processes.

    Raises:
        RecipeError: In every process, if one has another recipe.
    """
    recipes = ranks.gathered(recipe.to_json())
    problems = [
        Problem(path, f"{first} in process 0, {other} in process {rank}")
        for rank, values in enumerate(recipes)
        for path, first, other in differences(recipes[0], values)
    ]
    if problems:
        raise RecipeError("the processes of this run have different recipes", problems[:_SHOWN])


def require_same_files(lock: Mapping[str, Any], ranks: Ranks) -> None:
    """Compare what every process read with what the main one did.

    Args:
        lock: This process's ``lock_values``.
        ranks: The processes.

    Raises:
        DataError: In every process, if one has other files, another bertmod or another torch.
    """
    facts = ranks.gathered(
        {
            **{f"data file {path}": found for path, found in lock["data"].items()},
            **{f"checkpoint file {path}": found for path, found in lock["checkpoint"].items()},
            "bertmod": lock["bertmod"],
            "torch": lock["libraries"]["torch"],
        }
    )
    for rank, own in enumerate(facts):
        unlike = [name for name in {**facts[0], **own} if facts[0].get(name) != own.get(name)]
        if unlike:
            raise DataError(
                f"process {rank} does not have what process 0 has:\n  "
                + "\n  ".join(unlike[:_SHOWN])
                + "\n  give every machine the same files and the same versions"
            )
