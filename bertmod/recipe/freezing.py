"""What a recipe's ``freeze`` freezes."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from bertmod.recipe.layers import layer_numbers
from bertmod.recipe.parameters import Parameter
from bertmod.recipe.schema import Freeze, FreezeKeys


def is_frozen(freeze: Freeze, parameter: Parameter, num_layers: int) -> bool:
    """Whether a parameter does not train.

    Args:
        freeze: The recipe's policy.
        parameter: One of the model's; the encoder's with what its spec declares.
        num_layers: Layers of the encoder.
    """
    if isinstance(freeze, FreezeKeys):
        if any(fnmatchcase(parameter.name, pattern) for pattern in freeze.patterns):
            return True
        kept = parameter.norm and not freeze.layer_norm
        return not kept and frozen_part(freeze, parameter, num_layers) is not None
    if freeze == "none" or not parameter.name.startswith("encoder."):
        return False
    return freeze == "encoder" or not parameter.norm


def frozen_part(freeze: FreezeKeys, parameter: Parameter, num_layers: int) -> str | None:
    """The key of ``freeze`` that names the part a parameter lies in, if any does."""
    for key, depths in frozen_depths(freeze, num_layers):
        if parameter.depth in depths:
            return key
    return None


def frozen_depths(freeze: FreezeKeys, num_layers: int) -> Iterator[tuple[str, set[int]]]:
    """Each key that names a part of the encoder, and the depths that it stands for."""
    if freeze.embeddings:
        yield "embeddings", {0}
    if freeze.layers is not None:
        yield "layers", {layer + 1 for layer in layer_numbers(freeze.layers, num_layers)}
    if freeze.pooler:
        yield "pooler", {num_layers + 1}
