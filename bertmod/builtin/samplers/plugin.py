"""The built-in samplers."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import partial
from typing import Annotated

from pydantic import Field

from bertmod import (
    ComponentConfig,
    EmptyConfig,
    Problem,
    Sampler,
    SamplerContext,
    SamplerSpec,
    hookimpl,
)

BERTMOD_CONTRACT = 1

PALS_PAPER = "Stickland and Murray 2019, arXiv:1902.02671"

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class AnnealConfig(ComponentConfig):
    """Options of the annealed sampler."""

    drop: float = Field(
        0.8,
        ge=0,
        le=1,
        description="How far the exponent of a task's size has fallen from 1 by the last epoch, "
        "unitless, 0 to 1: 0 stays proportional to size, 1 ends uniform.",
    )


class TemperatureConfig(ComponentConfig):
    """Options of the sampler with a temperature."""

    temperature: float = Field(
        2.0,
        ge=1,
        allow_inf_nan=False,
        description="Flattens the sizes, which are raised to 1/temperature; unitless, at least 1: "
        "1 is proportional to size, 2 to its square root, a large value nearly uniform.",
    )
    max_size: int | None = Field(
        None,
        ge=1,
        description="Larger tasks count as this many training features, at least 1; "
        "null for no limit.",
    )


class ExplicitConfig(ComponentConfig):
    """Options of the sampler with stated weights."""

    weights: dict[str, Weight] = Field(
        description="Task id to weight, unitless, 0 or more, one for every task that trains; "
        "their ratios count, so they need not add up to 1.",
    )


def build_anneal(config: AnnealConfig, context: SamplerContext) -> Sampler:
    """A sampler whose exponent falls from epoch to epoch."""
    from bertmod.builtin.samplers.by_size import BySize, annealed

    return BySize(context, exponent=partial(annealed, drop=config.drop))


def build_proportional(config: EmptyConfig, context: SamplerContext) -> Sampler:
    """A sampler with exponent 1."""
    from bertmod.builtin.samplers.by_size import BySize, steady

    del config
    return BySize(context, exponent=partial(steady, exponent=1.0))


def build_sqrt(config: EmptyConfig, context: SamplerContext) -> Sampler:
    """A sampler with exponent one half."""
    from bertmod.builtin.samplers.by_size import BySize, steady

    del config
    return BySize(context, exponent=partial(steady, exponent=0.5))


def build_temperature(config: TemperatureConfig, context: SamplerContext) -> Sampler:
    """A sampler with exponent 1/temperature."""
    from bertmod.builtin.samplers.by_size import BySize, steady

    exponent = partial(steady, exponent=1.0 / config.temperature)
    return BySize(context, exponent=exponent, max_size=config.max_size)


def build_round_robin(config: EmptyConfig, context: SamplerContext) -> Sampler:
    """A sampler that takes turns."""
    from bertmod.builtin.samplers.fixed import RoundRobin

    del config
    return RoundRobin(context)


def build_explicit(config: ExplicitConfig, context: SamplerContext) -> Sampler:
    """A sampler with the recipe's weights."""
    from bertmod.builtin.samplers.fixed import Explicit

    return Explicit(context, weights=config.weights)


def check_explicit(config: ExplicitConfig, tasks: tuple[str, ...]) -> list[Problem]:
    """Whether the weights name exactly the tasks that train, and one of them can be drawn."""
    trained = f"tasks that train: {', '.join(tasks)}"
    problems = [
        Problem(
            f"weights.{name}", f'no task called "{name}" trains{_suggest(name, tasks)}', (trained,)
        )
        for name in config.weights
        if name not in tasks
    ]
    missing = [task for task in tasks if task not in config.weights]
    if missing:
        hint = "every task that trains needs a weight; 0 means that it is never drawn"
        problems.append(Problem("weights", f"no weight for {', '.join(missing)}", (trained, hint)))
    elif not any(config.weights[task] > 0 for task in tasks):
        what = "all weights are 0, so that no task can be drawn"
        problems.append(Problem("weights", what, ("at least one must be above 0",)))
    return problems


def _suggest(name: str, tasks: tuple[str, ...]) -> str:
    close = get_close_matches(name, tasks, n=1)
    return f', did you mean "{close[0]}"?' if close else ""


@hookimpl
def bertmod_samplers() -> Iterator[SamplerSpec]:
    """The samplers that ship with bertmod."""
    yield SamplerSpec(
        name="anneal",
        config=AnnealConfig,
        build=build_anneal,
        summary="By size at first, nearly evenly in the last epoch.",
        source=PALS_PAPER,
    )
    yield SamplerSpec(
        name="sqrt",
        config=EmptyConfig,
        build=build_sqrt,
        summary="In proportion to the square root of the tasks' sizes.",
        source=PALS_PAPER,
    )
    yield SamplerSpec(
        name="proportional",
        config=EmptyConfig,
        build=build_proportional,
        summary="In proportion to the tasks' sizes.",
        source=PALS_PAPER,
    )
    yield SamplerSpec(
        name="round_robin",
        config=EmptyConfig,
        build=build_round_robin,
        summary="The tasks in turn, one optimizer step each.",
    )
    yield SamplerSpec(
        name="temperature",
        config=TemperatureConfig,
        build=build_temperature,
        summary="In proportion to size ** (1 / temperature), sizes capped if wanted.",
        source="Raffel et al. 2020, arXiv:1910.10683, section 3.5.2",
    )
    yield SamplerSpec(
        name="explicit",
        config=ExplicitConfig,
        build=build_explicit,
        check=check_explicit,
        summary="With weights stated per task.",
    )
