"""The adapters that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bertmod import AdapterContext, AdapterSpec, hookimpl
from bertmod.builtin.adapters import pals_config as pals
from bertmod.builtin.adapters.pals_config import PalsConfig

if TYPE_CHECKING:
    from torch.nn import Module

BERTMOD_CONTRACT = 1

__all__ = ["PalsConfig", "bertmod_adapters"]


def build_pals(config: PalsConfig, context: AdapterContext) -> Module:
    """One task's projected attention layers."""
    from bertmod.builtin.adapters.pals import Pals

    return Pals(config, context)


@hookimpl
def bertmod_adapters() -> Iterator[AdapterSpec]:
    """Adapters: ``pals``."""
    yield AdapterSpec(
        name="pals",
        config=PalsConfig,
        build=build_pals,
        sites=pals.sites,
        num_parameters=pals.num_parameters,
        names=pals.names,
        check=pals.check,
        summary="Projected attention layers: a small self-attention beside every layer.",
        source="Stickland and Murray 2019, arXiv:1902.02671; Bert-n-Pals modeling.py",
    )
