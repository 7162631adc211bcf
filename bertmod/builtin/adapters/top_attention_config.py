"""Options of attention blocks on top and what follows from them without a tensor."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from bertmod import ComponentConfig, EncoderShape, Problem, TensorName
from bertmod.builtin.adapters.placement import acting_layers, head_problems, widths
from bertmod.builtin.adapters.tensor_rows import pair, qkv

SITE = "encoder_output"


class TopAttentionConfig(ComponentConfig):
    """Options of ``top_attention``."""

    bottleneck_size: int = Field(
        204, gt=0, description="Width of the attention blocks, units; num_heads divides it."
    )
    num_blocks: int = Field(6, gt=0, description="Attention blocks, one behind another.")
    num_heads: int = Field(12, gt=0, description="Attention heads of each block.")
    hidden_dropout_prob: float = Field(
        0.1, ge=0, lt=1, description="Dropout after each block's output matrix, in [0, 1)."
    )
    attention_probs_dropout_prob: float = Field(
        0.1, ge=0, lt=1, description="Dropout of attention weights, in [0, 1)."
    )


def sites(
    config: TopAttentionConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> Mapping[str, tuple[int, ...]]:
    """The end of the encoder."""
    del config
    return {SITE: acting_layers(SITE, shape, layers)}


def num_parameters(config: TopAttentionConfig, shape: EncoderShape, layers: tuple[int, ...]) -> int:
    """Parameters of one task: two projections; four square matrices and a LayerNorm per block."""
    del layers
    size, width = config.bottleneck_size, widths(SITE, shape)[1]
    projections = size * width + size + width * size + width
    return projections + config.num_blocks * (4 * (size * size + size) + 2 * size)


def check(
    config: TopAttentionConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[Problem, ...]:
    """Heads divide the bottleneck."""
    del shape, layers
    return head_problems(config.num_heads, config.bottleneck_size)


def names(
    config: TopAttentionConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[TensorName, ...]:
    """A row for every tensor."""
    del layers
    size, width = config.bottleneck_size, widths(SITE, shape)[1]
    rows = [*pair("down", (size, width), "encoder.mult_dense.{task}")]
    for block in range(config.num_blocks):
        here, there = f"blocks.{block}.", f"encoder.multi_layers.{{task}}.{block}"
        rows.extend(qkv(here, "", size, f"{there}.self"))
        rows.extend(pair(f"{here}dense", (size, size), f"{there}.output.dense"))
        rows.extend(pair(f"{here}norm", (size,), f"{there}.output.LayerNorm"))
    rows.extend(pair("up", (width, size), "encoder.mult_dense2.{task}"))
    return tuple(rows)
