"""The built-in optimizers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bertmod import ComponentConfig, OptimizerSpec, ParameterGroup, hookimpl

if TYPE_CHECKING:
    from torch.optim import Optimizer

BERTMOD_CONTRACT = 1

Beta = Annotated[float, Field(ge=0, lt=1)]


class BertAdamConfig(ComponentConfig):
    """Options of BERT's Adam."""

    betas: tuple[Beta, Beta] = Field(
        (0.9, 0.999),
        description="Decay rates of the running mean of gradients and of their squares, "
        "unitless, each from 0 to below 1.",
    )
    eps: float = Field(
        1e-6,
        gt=0,
        allow_inf_nan=False,
        description="Added to the root of the mean square, in units of the gradient, above 0.",
    )


class AdamWConfig(BertAdamConfig):
    """Options of AdamW."""

    eps: float = Field(
        1e-8,
        gt=0,
        allow_inf_nan=False,
        description="Added to the root of the mean square, in units of the gradient, above 0.",
    )


def build_bert_adam(config: BertAdamConfig, groups: Sequence[ParameterGroup]) -> Optimizer:
    """BERT's Adam over the groups."""
    from bertmod.builtin.optimizers.bert_adam import BertAdam

    return BertAdam(groups, betas=config.betas, eps=config.eps)


def build_adamw(config: AdamWConfig, groups: Sequence[ParameterGroup]) -> Optimizer:
    """The AdamW of torch over the groups."""
    from bertmod.builtin.optimizers.adamw import adamw

    return adamw(groups, betas=config.betas, eps=config.eps)


@hookimpl
def bertmod_optimizers() -> Iterator[OptimizerSpec]:
    """The optimizers that ship with bertmod."""
    yield OptimizerSpec(
        name="bert_adam",
        config=BertAdamConfig,
        build=build_bert_adam,
        per_parameter=True,
        state_per_parameter=8,
        summary="Adam as BERT was trained with it: no bias correction, decoupled weight decay.",
        source="google-research/bert optimization.py",
    )
    yield OptimizerSpec(
        name="adamw",
        config=AdamWConfig,
        build=build_adamw,
        per_parameter=True,
        state_per_parameter=8,
        summary="AdamW with bias correction, torch's own.",
        source="Loshchilov and Hutter 2019, arXiv:1711.05101",
    )
