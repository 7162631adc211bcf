"""What bertmod finds: the adapters ``lora`` and ``ia3``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bertmod import AdapterContext, AdapterSpec, hookimpl
from bertmod_lora import options
from bertmod_lora.options import Ia3Config, LoraConfig

if TYPE_CHECKING:
    from torch.nn import Module

BERTMOD_CONTRACT = 1


def build_lora(config: LoraConfig, context: AdapterContext) -> Module:
    """One task's low-rank updates."""
    from bertmod_lora.modules import Lora

    return Lora(config, context)


def build_ia3(config: Ia3Config, context: AdapterContext) -> Module:
    """One task's scales."""
    from bertmod_lora.modules import Ia3

    return Ia3(config, context)


@hookimpl
def bertmod_adapters() -> Iterator[AdapterSpec]:
    """Adapters: ``lora`` and ``ia3``."""
    yield AdapterSpec(
        name="lora",
        config=LoraConfig,
        build=build_lora,
        sites=options.sites,
        num_parameters=options.num_lora_parameters,
        check=options.check_lora,
        summary="Low-rank updates of projections; they merge into the encoder's weights.",
        source="Hu et al. 2021, arXiv:2106.09685",
    )
    yield AdapterSpec(
        name="ia3",
        config=Ia3Config,
        build=build_ia3,
        sites=options.sites,
        num_parameters=options.num_ia3_parameters,
        check=options.check_ia3,
        summary="One learned scale per unit of keys, values and feed-forward activations.",
        source="Liu et al. 2022, arXiv:2205.05638",
    )
