"""The built-in schedules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from bertmod import ComponentConfig, Problem, Schedule, ScheduleSpec, hookimpl

BERTMOD_CONTRACT = 1

DEFAULT_PROPORTION = 0.1
"""Share of the run that the decaying schedules warm up for unless told otherwise."""


class DecayConfig(ComponentConfig):
    """Options of a schedule that falls to 0 at the end of the run."""

    warmup_proportion: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of the run over which the learning rate rises from 0, unitless, "
        "from 0 to below 1; null is 0.1, unless warmup_steps is given.",
    )
    warmup_steps: int | None = Field(
        None,
        ge=0,
        description="Optimizer steps over which the learning rate rises from 0, 0 or more; "
        "null leaves it to warmup_proportion.",
    )
    decay_from: Literal["start", "warmup_end"] = Field(
        "start",
        description="Where the fall begins: at the run's start, so that it is under way when the "
        "warm-up ends (Google's), or at 1 at the warm-up's end (transformers').",
    )


class ConstantConfig(ComponentConfig):
    """Options of the schedule that does not fall."""

    warmup_proportion: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Share of the run over which the learning rate rises from 0, unitless, "
        "from 0 to below 1; null is 0 (no warm-up), unless warmup_steps is given.",
    )
    warmup_steps: int | None = Field(
        None,
        ge=0,
        description="Optimizer steps over which the learning rate rises from 0, 0 or more; "
        "null leaves it to warmup_proportion.",
    )


def build_linear(config: DecayConfig) -> Schedule:
    """Warm-up, then a straight line to 0."""
    from bertmod.builtin.schedules.shapes import WarmedUp, Warmup, linear

    proportion = _or_else(config.warmup_proportion, DEFAULT_PROPORTION)
    warmup = Warmup(proportion, config.warmup_steps)
    return WarmedUp(warmup, linear, anchored=config.decay_from == "warmup_end")


def build_cosine(config: DecayConfig) -> Schedule:
    """Warm-up, then half a cosine wave to 0."""
    from bertmod.builtin.schedules.shapes import WarmedUp, Warmup, cosine

    proportion = _or_else(config.warmup_proportion, DEFAULT_PROPORTION)
    warmup = Warmup(proportion, config.warmup_steps)
    return WarmedUp(warmup, cosine, anchored=config.decay_from == "warmup_end")


def build_constant(config: ConstantConfig) -> Schedule:
    """Warm-up, then 1."""
    from bertmod.builtin.schedules.shapes import WarmedUp, Warmup, constant

    proportion = _or_else(config.warmup_proportion, 0.0)
    return WarmedUp(Warmup(proportion, config.warmup_steps), constant)


def _or_else(proportion: float | None, default: float) -> float:
    return default if proportion is None else proportion


def check_warmup(config: DecayConfig | ConstantConfig) -> list[Problem]:
    """Whether the length of the warm-up is stated at most once."""
    if config.warmup_proportion is None or config.warmup_steps is None:
        return []
    what = "the warm-up's length is given twice, by warmup_proportion and by warmup_steps"
    return [Problem("warmup_steps", what, ("leave one of them out, or set it to null",))]


@hookimpl
def bertmod_schedules() -> Iterator[ScheduleSpec]:
    """The schedules that ship with bertmod."""
    yield ScheduleSpec(
        name="linear",
        config=DecayConfig,
        build=build_linear,
        check=check_warmup,
        summary="Warm-up, then a straight line to 0 at the end of the run.",
        source="google-research/bert optimization.py",
    )
    yield ScheduleSpec(
        name="constant",
        config=ConstantConfig,
        build=build_constant,
        check=check_warmup,
        summary="The same learning rate throughout, after a warm-up if wanted.",
    )
    yield ScheduleSpec(
        name="cosine",
        config=DecayConfig,
        build=build_cosine,
        check=check_warmup,
        summary="Warm-up, then half a cosine wave to 0 at the end of the run.",
        source="pytorch-pretrained-BERT optimization.py, warmup_cosine, as it was meant",
    )
