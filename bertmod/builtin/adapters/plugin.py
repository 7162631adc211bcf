"""The adapters that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bertmod import AdapterContext, AdapterSpec, hookimpl
from bertmod.builtin.adapters import (
    bottleneck_config,
    lhuc_config,
    low_rank_config,
    pals_config,
    top_attention_config,
    top_layer_config,
)
from bertmod.builtin.adapters.bottleneck_config import BottleneckConfig
from bertmod.builtin.adapters.lhuc_config import LhucConfig
from bertmod.builtin.adapters.low_rank_config import LowRankConfig
from bertmod.builtin.adapters.pals_config import PalsConfig
from bertmod.builtin.adapters.top_attention_config import TopAttentionConfig
from bertmod.builtin.adapters.top_layer_config import TopLayerConfig

if TYPE_CHECKING:
    from torch.nn import Module

BERTMOD_CONTRACT = 1

__all__ = [
    "BottleneckConfig",
    "LhucConfig",
    "LowRankConfig",
    "PalsConfig",
    "TopAttentionConfig",
    "TopLayerConfig",
    "bertmod_adapters",
]

PALS_PAPER = "Stickland and Murray 2019, arXiv:1902.02671; Bert-n-Pals modeling.py"


def build_pals(config: PalsConfig, context: AdapterContext) -> Module:
    """One task's projected attention layers."""
    from bertmod.builtin.adapters.pals import Pals

    return Pals(config, context)


def build_low_rank(config: LowRankConfig, context: AdapterContext) -> Module:
    """One task's low-rank layers."""
    from bertmod.builtin.adapters.low_rank import LowRank

    return LowRank(config, context)


def build_bottleneck(config: BottleneckConfig, context: AdapterContext) -> Module:
    """One task's bottlenecks and LayerNorms."""
    from bertmod.builtin.adapters.bottleneck import Bottleneck

    return Bottleneck(config, context)


def build_lhuc(config: LhucConfig, context: AdapterContext) -> Module:
    """One task's factors of hidden units."""
    from bertmod.builtin.adapters.lhuc import Lhuc

    return Lhuc(config, context)


def build_top_attention(config: TopAttentionConfig, context: AdapterContext) -> Module:
    """One task's attention blocks on top."""
    from bertmod.builtin.adapters.top_attention import TopAttention

    return TopAttention(config, context)


def build_top_layer(config: TopLayerConfig, context: AdapterContext) -> Module:
    """One task's encoder layers on top."""
    from bertmod.builtin.adapters.top_layer import TopLayer

    return TopLayer(config, context)


@hookimpl
def bertmod_adapters() -> Iterator[AdapterSpec]:
    """Adapters inside the layers: ``pals``, ``low_rank``, ``bottleneck``, ``lhuc``; and on top."""
    yield AdapterSpec(
        name="pals",
        config=PalsConfig,
        build=build_pals,
        sites=pals_config.sites,
        num_parameters=pals_config.num_parameters,
        names=pals_config.names,
        check=pals_config.check,
        summary="Projected attention layers: a small self-attention beside every layer.",
        source=PALS_PAPER,
    )
    yield AdapterSpec(
        name="low_rank",
        config=LowRankConfig,
        build=build_low_rank,
        sites=low_rank_config.sites,
        num_parameters=low_rank_config.num_parameters,
        names=low_rank_config.names,
        check=low_rank_config.check,
        summary="Low-rank layers: a bottleneck of two projections beside every layer.",
        source=PALS_PAPER,
    )
    yield AdapterSpec(
        name="bottleneck",
        config=BottleneckConfig,
        build=build_bottleneck,
        sites=bottleneck_config.sites,
        num_parameters=bottleneck_config.num_parameters,
        names=bottleneck_config.names,
        check=bottleneck_config.check,
        summary="Houlsby adapters: a bottleneck behind every block, LayerNorms of the task's own.",
        source="Houlsby et al. 2019, arXiv:1902.00751; google-research/adapter-bert modeling.py",
    )
    yield from _scales_and_tops()


def _scales_and_tops() -> Iterator[AdapterSpec]:
    yield AdapterSpec(
        name="lhuc",
        config=LhucConfig,
        build=build_lhuc,
        sites=lhuc_config.sites,
        num_parameters=lhuc_config.num_parameters,
        names=lhuc_config.names,
        needs_output=lhuc_config.needs_output,
        summary="Learned hidden unit contributions: a factor in (0, 2) for every hidden unit.",
        source="Swietojanski and Renals 2014, Learning hidden unit contributions for unsupervised "
        "speaker adaptation of neural network acoustic models; Bert-n-Pals modeling.py",
    )
    yield AdapterSpec(
        name="top_attention",
        config=TopAttentionConfig,
        build=build_top_attention,
        sites=top_attention_config.sites,
        num_parameters=top_attention_config.num_parameters,
        names=top_attention_config.names,
        check=top_attention_config.check,
        summary="Narrow attention blocks on top of the encoder, in place of its last output.",
        source=PALS_PAPER,
    )
    yield AdapterSpec(
        name="top_layer",
        config=TopLayerConfig,
        build=build_top_layer,
        sites=top_layer_config.sites,
        num_parameters=top_layer_config.num_parameters,
        names=top_layer_config.names,
        check=top_layer_config.check,
        summary="Full encoder layers of the task's own on top of the encoder.",
        source=PALS_PAPER,
    )
