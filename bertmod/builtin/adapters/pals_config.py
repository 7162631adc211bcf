"""Options of projected attention layers and what follows from them without a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from bertmod import ComponentConfig, EncoderShape, Problem, TensorName
from bertmod.builtin.adapters.placement import (
    ADDING,
    acting_layers,
    head_problems,
    kind_problems,
    widths,
)
from bertmod.builtin.adapters.tensor_rows import pair, qkv

SHARED = "shared"
"""Key of the one pair of projections that all layers use."""

STORED_AT = {
    "layer_residual": "encoder.layer.{layer}.multi_layers.{{task}}",
    "ffn_output": "encoder.layer.{layer}.output.multi_layers.{{task}}",
}
"""Site to where Bert-n-Pals keeps what acts there in a layer."""


class PalsConfig(ComponentConfig):
    """Options of ``pals``."""

    bottleneck_size: int = Field(
        204, gt=0, description="Width of the small attention, units; num_heads divides it."
    )
    num_heads: int = Field(6, gt=0, description="Attention heads inside the bottleneck.")
    share_projections: bool = Field(
        True,
        description="One projection into and one out of the bottleneck per task, used by all its "
        "layers; false: one pair per layer.",
    )
    hidden_act: Literal["gelu", "gelu_tanh", "relu"] = Field(
        "gelu", description="Activation after the projection out of the bottleneck."
    )
    attention_probs_dropout_prob: float = Field(
        0.1, ge=0, lt=1, description="Dropout of attention weights, in [0, 1)."
    )
    site: str = Field(
        "layer_residual",
        description="Where it acts: a delta or block site of the encoder; its output is added "
        "to the site's.",
    )


def sites(
    config: PalsConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> Mapping[str, tuple[int, ...]]:
    """Its one site and the layers there."""
    return {config.site: acting_layers(config.site, shape, layers)}


def num_parameters(config: PalsConfig, shape: EncoderShape, layers: tuple[int, ...]) -> int:
    """Parameters of one task: the projections, and three square matrices per layer, with biases."""
    size, (width_in, width_out) = config.bottleneck_size, widths(config.site, shape)
    count = len(acting_layers(config.site, shape, layers))
    pairs = 1 if config.share_projections else count
    projections = size * width_in + size + size * width_out + width_out
    return pairs * projections + count * 3 * (size * size + size)


def check(config: PalsConfig, shape: EncoderShape, layers: tuple[int, ...]) -> tuple[Problem, ...]:
    """Heads divide the bottleneck; the site is of a kind to add to."""
    del layers
    return (
        *head_problems(config.num_heads, config.bottleneck_size),
        *kind_problems(
            "site", config.site, shape, kinds=ADDING, instead=", where nothing can be added"
        ),
    )


def names(
    config: PalsConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[TensorName, ...]:
    """A row for every tensor.

    Bert-n-Pals knows shared projections alone. It lists them once for the encoder and again in
    every layer.
    """
    size, (width_in, width_out) = config.bottleneck_size, widths(config.site, shape)
    acting = acting_layers(config.site, shape, layers)
    place = STORED_AT.get(config.site) if config.share_projections else None
    there = {layer: place.format(layer=layer) for layer in acting} if place else {}
    rows: list[TensorName] = []
    for key in (SHARED,) if config.share_projections else map(str, acting):
        for name, stored, lengths in (
            ("down", "aug_dense", (size, width_in)),
            ("up", "aug_dense2", (width_out, size)),
        ):
            copies = tuple(f"{each}.{stored}" for each in there.values())
            first = f"encoder.mult_{stored}.{{task}}" if place else None
            rows.extend(pair(f"{name}.{key}", lengths, first, copies=copies))
    for layer in acting:
        stored_qkv = f"{there[layer]}.attn" if place else None
        rows.extend(qkv("", f".{layer}", size, stored_qkv))
    return tuple(rows)
