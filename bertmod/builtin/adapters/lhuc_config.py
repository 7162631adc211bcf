"""Options of learned hidden unit contributions and what follows from them without a tensor."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from bertmod import ComponentConfig, EncoderShape, TensorName
from bertmod.builtin.adapters.placement import acting_layers
from bertmod.builtin.adapters.tensor_rows import FORMAT

STORED_AT = {
    "layer_residual": "encoder.layer.{layer}.multi_lhuc.{{task}}.lhuc",
    "layer_output": "encoder.layer.{layer}.multi_lhuc.{{task}}.lhuc",
    "encoder_output": "encoder.multi_layers.{{task}}.multi_lhuc.0.lhuc",
}
"""Site to where Bert-n-Pals keeps its vectors; what is at the encoder's end belongs to its full
layer on top, which holds one per task and uses the first whatever the task."""


class LhucConfig(ComponentConfig):
    """Options of ``lhuc``."""

    site: str = Field(
        "layer_output",
        description="Whose output it scales, any site of the encoder; at a delta site "
        "(layer_residual) that is the sum of what the adapters before it in the list add there.",
    )


def sites(
    config: LhucConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> Mapping[str, tuple[int, ...]]:
    """Its one site and the layers there."""
    return {config.site: acting_layers(config.site, shape, layers)}


def needs_output(config: LhucConfig, shape: EncoderShape) -> frozenset[str]:
    """Its site: it scales what is there."""
    del shape
    return frozenset({config.site})


def num_parameters(config: LhucConfig, shape: EncoderShape, layers: tuple[int, ...]) -> int:
    """Parameters of one task: a number per unit and layer."""
    count = len(acting_layers(config.site, shape, layers))
    return count * shape.sites[config.site].out_width


def names(
    config: LhucConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[TensorName, ...]:
    """A row for every tensor."""
    width, stored = shape.sites[config.site].out_width, STORED_AT.get(config.site)
    return tuple(
        TensorName(
            f"scale.{layer}", (width,), {FORMAT: stored.format(layer=layer)} if stored else {}
        )
        for layer in acting_layers(config.site, shape, layers)
    )
