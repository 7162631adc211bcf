"""Adapters that a later one of the same task makes useless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bertmod.contracts.adapter import Adapter
from bertmod.errors import Problem, RecipeError
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.wording import listed


def refuse_overruled(recipe: ResolvedRecipe, tasks: Sequence[Mapping[str, Adapter]]) -> None:
    """Refuse adapters at places whose y a later one ignores: what they do there is thrown away.

    Args:
        recipe: The recipe.
        tasks: Each task's adapters by id, in the order in which they act.

    Raises:
        RecipeError: Naming both of every such pair.
    """
    lost: dict[tuple[str, str], set[str]] = {}
    for adapters in tasks:
        acting: dict[tuple[str, int], str] = {}
        for later, adapter in adapters.items():
            for place in adapter.replaces & acting.keys():
                lost.setdefault((acting[place], later), set()).add(place[0])
            acting |= {(site, layer): later for site, at in adapter.sites.items() for layer in at}
    problems = [
        Problem(
            f"adapters[{index}]",
            f'what "{slot.id}" does at {listed(sorted(sites))} is lost: "{later}", which comes '
            "after it, ignores what is there",
            ("list it after that one, or leave one of the two out",),
        )
        for index, slot in enumerate(recipe.adapters)
        for (first, later), sites in lost.items()
        if first == slot.id
    ]
    if problems:
        raise RecipeError(recipe.title, problems)
