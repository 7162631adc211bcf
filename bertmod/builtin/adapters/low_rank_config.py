"""Options of low-rank layers and what follows from them without a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from bertmod import ComponentConfig, EncoderShape, Problem, TensorName
from bertmod.builtin.adapters.placement import ADDING, acting_layers, kind_problems, widths
from bertmod.builtin.adapters.tensor_rows import pair


class LowRankConfig(ComponentConfig):
    """Options of ``low_rank``."""

    bottleneck_size: int = Field(100, gt=0, description="Width of the bottleneck, units.")
    hidden_act: Literal["gelu", "gelu_tanh", "relu"] = Field(
        "gelu", description="Activation inside the bottleneck."
    )
    site: str = Field(
        "layer_residual",
        description="Where it acts: a delta or block site of the encoder; its output is added "
        "to the site's.",
    )


def sites(
    config: LowRankConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> Mapping[str, tuple[int, ...]]:
    """Its one site and the layers there."""
    return {config.site: acting_layers(config.site, shape, layers)}


def num_parameters(config: LowRankConfig, shape: EncoderShape, layers: tuple[int, ...]) -> int:
    """Parameters of one task: two projections per layer, with biases."""
    size, (width_in, width_out) = config.bottleneck_size, widths(config.site, shape)
    count = len(acting_layers(config.site, shape, layers))
    return count * (size * width_in + size + size * width_out + width_out)


def check(
    config: LowRankConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[Problem, ...]:
    """The site is of a kind to add to."""
    del layers
    instead = ", where nothing can be added"
    return kind_problems("site", config.site, shape, kinds=ADDING, instead=instead)


def names(
    config: LowRankConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[TensorName, ...]:
    """A row for every tensor; Bert-n-Pals knows them beside the last residual alone."""
    size, (width_in, width_out) = config.bottleneck_size, widths(config.site, shape)
    known = config.site == "layer_residual"
    rows: list[TensorName] = []
    for layer in acting_layers(config.site, shape, layers):
        there = f"encoder.layer.{layer}.multi_layers.{{task}}"
        down, up = (f"{there}.aug_dense", f"{there}.aug_dense2") if known else (None, None)
        rows.extend(pair(f"down.{layer}", (size, width_in), down))
        rows.extend(pair(f"up.{layer}", (width_out, size), up))
    return tuple(rows)
