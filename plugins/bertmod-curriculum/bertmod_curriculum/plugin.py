"""What bertmod finds: the sampler ``curriculum``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from bertmod import ComponentConfig, Problem, Sampler, SamplerContext, SamplerSpec, hookimpl

BERTMOD_CONTRACT = 1

Goal = Annotated[float, Field(allow_inf_nan=False)]


class CurriculumConfig(ComponentConfig):
    """Options of ``curriculum``."""

    goals: dict[str, Goal] = Field(
        {},
        description="Task id to the score of its main metric at which it counts as learnt, in the "
        "metric's unit. Tasks not named here: 1 where a greater score is better, else 0.",
    )
    temperature: float = Field(
        1.0,
        ge=1e-3,
        allow_inf_nan=False,
        description="Flattens the distances, which are raised to 1/temperature; unitless, from "
        "0.001: a large value draws nearly by size, a small one little but the farthest task.",
    )
    floor: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Distance that a task keeps however close to its goal it is, in (0, 1], so "
        "that no task is forgotten.",
    )
    smoothing: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Share of the earlier distance that stays at each evaluation, in [0, 1): 0 "
        "follows the newest scores alone.",
    )
    size_exponent: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Exponent of a task's number of training features, in [0, 1]: 0 ignores "
        "sizes, 1 is proportional to them.",
    )


def build_curriculum(config: CurriculumConfig, context: SamplerContext) -> Sampler:
    """A sampler that draws tasks far from their goal more often."""
    from bertmod_curriculum.sampler import Curriculum

    return Curriculum(config, context)


def check_curriculum(config: CurriculumConfig, tasks: tuple[str, ...]) -> tuple[Problem, ...]:
    """Goals belong to tasks that train."""
    return tuple(
        Problem(
            f"goals.{name}",
            f'no task called "{name}" trains',
            (f"tasks that train: {', '.join(tasks)}",),
        )
        for name in config.goals
        if name not in tasks
    )


@hookimpl
def bertmod_samplers() -> Iterator[SamplerSpec]:
    """Samplers: ``curriculum``."""
    yield SamplerSpec(
        name="curriculum",
        config=CurriculumConfig,
        build=build_curriculum,
        check=check_curriculum,
        summary="Tasks whose dev score is far from its goal more often.",
    )
