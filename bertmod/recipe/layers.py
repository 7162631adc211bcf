"""Layers of an encoder as recipes choose them: all, one half, or by number."""

from __future__ import annotations

from bertmod.recipe.schema import Layers
from bertmod.wording import counted, listed


def layer_numbers(layers: Layers, depth: int) -> tuple[int, ...]:
    """The layers that are chosen of an encoder with ``depth`` layers, ascending, from 0."""
    if isinstance(layers, str):
        halves = {
            "all": (0, depth),
            "top_half": (depth // 2, depth),
            "bottom_half": (0, depth // 2),
        }
        return tuple(range(*halves[layers]))
    return tuple(sorted(layers))


def layer_problem(layers: Layers, depth: int) -> str | None:
    """What is wrong with a choice: a layer that is not there, or one named twice."""
    numbers = layer_numbers(layers, depth)
    if beyond := [number for number in numbers if number >= depth]:
        has = counted(depth, "layer")
        return f"the encoder has {has}, counted from 0, not {listed(map(str, beyond))}"
    repeated = sorted({number for number in numbers if numbers.count(number) > 1})
    return f"named twice: {listed(map(str, repeated))}" if repeated else None
