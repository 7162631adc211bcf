"""The built-in optimizers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from bertmod import ComponentConfig, OptimizerSpec, ParameterGroup, Problem, hookimpl

if TYPE_CHECKING:
    from torch.optim import Optimizer

BERTMOD_CONTRACT = 1

Beta = Annotated[float, Field(ge=0, lt=1)]


class MomentsConfig(ComponentConfig):
    """Options of every Adam."""

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


class BertAdamConfig(MomentsConfig):
    """Options of BERT's Adam."""

    touched_rows: bool = Field(
        False,
        description="Whether of an embedding table only those rows are updated whose gradient is "
        "not zero throughout, those of the batch's tokens. The others keep their weights and "
        "running means, without decay and momentum, so that the results are not those of false.",
    )


class AdamWConfig(BertAdamConfig):
    """Options of AdamW."""

    eps: float = Field(
        1e-8,
        gt=0,
        allow_inf_nan=False,
        description="Added to the root of the mean square, in units of the gradient, above 0.",
    )


Norm = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LambConfig(MomentsConfig):
    """Options of LAMB."""

    bias_correction: bool = Field(
        True,
        description="Whether the running means are divided by what they lack in the first steps.",
    )
    norm_bounds: tuple[Norm, Norm] | None = Field(
        None,
        description="Least and greatest norm that a tensor counts as when its update is made as "
        "long as it is, 0 or more, such as [0, 10]; null: its own.",
    )
    scale_vectors: bool = Field(
        False,
        description="Whether the updates of vectors and scalars (biases, LayerNorm) are made as "
        "long as they are, too.",
    )


def check_lamb(config: LambConfig) -> Sequence[Problem]:
    """Bounds that leave no norm between them."""
    bounds = config.norm_bounds
    if bounds is None or bounds[0] <= bounds[1] > 0:
        return ()
    what = f"[{bounds[0]:g}, {bounds[1]:g}] leaves no norm"
    return (Problem("norm_bounds", what, ("accepted: the least, then the greatest above 0",)),)


def build_bert_adam(config: BertAdamConfig, groups: Sequence[ParameterGroup]) -> Optimizer:
    """BERT's Adam over the groups."""
    from bertmod.builtin.optimizers.bert_adam import BertAdam

    return BertAdam(groups, betas=config.betas, eps=config.eps, touched_rows=config.touched_rows)


def build_adamw(config: AdamWConfig, groups: Sequence[ParameterGroup]) -> Optimizer:
    """The AdamW of torch over the groups."""
    from bertmod.builtin.optimizers.adamw import adamw

    return adamw(groups, betas=config.betas, eps=config.eps, touched_rows=config.touched_rows)


def build_lamb(config: LambConfig, groups: Sequence[ParameterGroup]) -> Optimizer:
    """LAMB over the groups."""
    from bertmod.builtin.optimizers.lamb import Lamb

    return Lamb(
        groups,
        betas=config.betas,
        eps=config.eps,
        bias_correction=config.bias_correction,
        norm_bounds=config.norm_bounds,
        scale_vectors=config.scale_vectors,
    )


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
    yield OptimizerSpec(
        name="lamb",
        config=LambConfig,
        build=build_lamb,
        check=check_lamb,
        per_parameter=True,
        state_per_parameter=8,
        summary="Adam for large batches: each tensor's update is as long as the tensor.",
        source="You et al. 2019, arXiv:1904.00962",
    )
