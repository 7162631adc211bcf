"""Options of encoder layers on top and what follows from them without a tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from pydantic import Field

from bertmod import ComponentConfig, EncoderShape, Problem, TensorName
from bertmod.builtin.adapters.placement import acting_layers
from bertmod.builtin.adapters.tensor_rows import FORMAT

SITE = "encoder_output"


class TopLayerConfig(ComponentConfig):
    """Options of ``top_layer``."""

    num_layers: int = Field(
        1, gt=0, description="Full encoder layers, one behind another, at least 1."
    )


def sites(
    config: TopLayerConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> Mapping[str, tuple[int, ...]]:
    """The end of the encoder."""
    del config
    return {SITE: acting_layers(SITE, shape, layers)}


def num_parameters(config: TopLayerConfig, shape: EncoderShape, layers: tuple[int, ...]) -> int:
    """Parameters of one task: those of its layers."""
    del layers
    one = [math.prod(n or 0 for n in row.shape) for row in shape.layer_names]
    return config.num_layers * sum(one)


def check(
    config: TopLayerConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[Problem, ...]:
    """The encoder says what a layer of it consists of."""
    del config, layers
    if shape.layer_names:
        return ()
    what = "the encoder does not say what a layer of it consists of, so none can be put on top"
    return (Problem("", what, ("accepted: encoders whose shape has layer_names, such as bert",)),)


def names(
    config: TopLayerConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[TensorName, ...]:
    """A row for every tensor; Bert-n-Pals knows one layer alone."""
    del layers
    known = config.num_layers == 1
    return tuple(
        row
        for layer in range(config.num_layers)
        for row in _in_layer(shape.layer_names, layer, known=known)
    )


def _in_layer(rows: tuple[TensorName, ...], layer: int, *, known: bool) -> Iterator[TensorName]:
    here = f"layers.{layer}."
    for row in rows:
        stored = row.stored.get(FORMAT) if known else None
        yield replace(
            row,
            canonical=here + row.canonical,
            stored={FORMAT: f"encoder.multi_layers.{{task}}.{stored}"} if stored else {},
            transposed=row.transposed & {FORMAT},
            copies={},
            also_read={},
            fused=None if row.fused is None else (here + row.fused[0], row.fused[1]),
        )
