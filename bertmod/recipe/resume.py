"""Going on with a run: the recipe that its folder holds, against the one given now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bertmod.errors import Problem, RecipeError
from bertmod.recipe.identity import PER_PARAMETER, patterns
from bertmod.recipe.resolved import ResolvedRecipe

_ORDERED = {f"optimizer.{key}" for key in PER_PARAMETER}
_LONGER = "training.num_epochs"
_WHERE = "training.offload"
_SETTLED = {"training.device", "training.precision", "training.parallel"}


def resumed_recipe(stored: ResolvedRecipe, given: ResolvedRecipe) -> ResolvedRecipe:
    """The recipe to go on with: the stored one, made longer if the given one is.

    ``auto`` in the given recipe takes what the run settled on when it began. ``training.offload``
    is the given one's, since it changes where a step is made and not what it does.

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
            ("of a changed recipe a larger training.num_epochs and training.offload are taken",)
            if path != _LONGER
            else ("a run can be made longer, not shorter",),
        )
        for path, before, now in _differences(stored.to_json(), given.to_json())
        if not _accepted(path, before, now)
    ]
    if problems:
        raise RecipeError(f"{given.title} does not go on with this run", problems)
    taken = {key: getattr(given.training, key) for key in ("num_epochs", "offload")}
    return replace(stored, training=stored.training.model_copy(update=taken))


def _accepted(path: str, before: Any, now: Any) -> bool:
    if path == _LONGER:
        return bool(now > before)
    return path == _WHERE or (path in _SETTLED and now == "auto")


def _differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in [*before, *(key for key in now if key not in before)]:
            below = f"{path}.{key}" if path else key
            yield from _differences(before.get(key), now.get(key), below)
        if path in _ORDERED and before == now and patterns(before) != patterns(now):
            yield path, ", ".join(patterns(before)), ", ".join(patterns(now))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from _differences(old, new, f"{path}[{number}]")
    elif before != now:
        yield path, before, now


def _shown(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
