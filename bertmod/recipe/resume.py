"""Going on with a run: the recipe that its folder holds, against the one given now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bertmod.errors import Problem, RecipeError
from bertmod.recipe.identity import PER_PARAMETER, patterns
from bertmod.recipe.resolved import ResolvedRecipe

_ORDERED = {f"optimizer.{key}" for key in PER_PARAMETER}
_LONGER, _BATCH = "training.num_epochs", "evaluation.batch_size"
_CHANGEABLE = (
    "activation_checkpointing",
    "compile",
    "fast",
    "gradient_accumulation_steps",
    "max_minutes",
    "offload",
    "parallel",
)
"""Of ``training``, what says how steps are made or when the run ends, not what a step does.

More micro-steps, like more processes or ``fast``, draw other dropout masks: a run that had too
little memory goes on, if not with the bits that it would have had.
"""

_SETTLED = {"training.device", "training.precision"}
_TAKEN = (
    "of a changed recipe these are taken: a larger training.num_epochs, "
    "training.activation_checkpointing, training.compile, training.fast, "
    "training.gradient_accumulation_steps, training.max_minutes, training.offload, "
    "training.parallel, evaluation.batch_size"
)


def resumed_recipe(stored: ResolvedRecipe, given: ResolvedRecipe) -> ResolvedRecipe:
    """The recipe to go on with: the stored one, made longer if the given one is.

    ``auto`` in the given recipe takes what the run settled on when it began. What changes nothing
    of what a step does, ``training.offload`` for one, is the given one's.

    Args:
        stored: The resolved recipe in the run folder.
        given: The recipe that the user gives now, resolved.

    Raises:
        RecipeError: If anything else differs, or the run would become shorter; every difference
            is named with both values.
    """
    problems = [
        Problem(
            path,
            f"{_shown(before)} when the run began, {_shown(now)} now",
            (_TAKEN if path != _LONGER else "a run can be made longer, not shorter",),
        )
        for path, before, now in differences(stored.to_json(), given.to_json())
        if not _accepted(path, before, now)
    ]
    if problems:
        raise RecipeError(f"{given.title} does not go on with this run", problems)
    taken = {key: getattr(given.training, key) for key in ("num_epochs", *_CHANGEABLE)}
    if given.training.parallel == "data_parallel":  # a run may have begun on one device
        taken["device"] = given.training.device
    evaluation = stored.evaluation.model_copy(update={"batch_size": given.evaluation.batch_size})
    training = stored.training.model_copy(update=taken)
    return replace(stored, training=training, evaluation=evaluation)


def _accepted(path: str, before: Any, now: Any) -> bool:
    if path == _LONGER:
        return bool(now > before)
    changeable = {_BATCH, *(f"training.{key}" for key in _CHANGEABLE)}
    return path in changeable or (path in _SETTLED and now == "auto")


def differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every place where two recipes differ: its path, and both values.

    Args:
        before: A recipe's JSON values, or a part of them.
        now: Another's.
        path: Where that part is.
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in [*before, *(key for key in now if key not in before)]:
            below = f"{path}.{key}" if path else key
            yield from differences(before.get(key), now.get(key), below)
        if path in _ORDERED and before == now and patterns(before) != patterns(now):
            yield path, ", ".join(patterns(before)), ", ".join(patterns(now))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from differences(old, new, f"{path}[{number}]")
    elif before != now:
        yield path, before, now


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
