"""Metrics that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pydantic import Field

from bertmod import ComponentConfig, EmptyConfig, Metric, MetricSpec, hookimpl

BERTMOD_CONTRACT = 1


class F1Config(ComponentConfig):
    """Options of F1."""

    positive: str | int = Field(
        "1",
        description="The class that counts as positive: a label name, or an index for tasks whose "
        "labels are numbers.",
    )


def build(name: str, config: EmptyConfig) -> Metric:
    """The metric of this name."""
    from bertmod.builtin.metrics.score import plain

    del config
    return plain(name)


def build_f1(config: F1Config) -> Metric:
    """The metric ``f1``."""
    from bertmod.builtin.metrics.score import f1_of

    return f1_of(config.positive)


@hookimpl
def bertmod_metrics() -> Iterator[MetricSpec]:
    """The metrics that GLUE reports."""
    yield MetricSpec(
        name="accuracy",
        config=EmptyConfig,
        build=partial(build, "accuracy"),
        summary="Share of right answers.",
    )
    yield MetricSpec(
        name="f1",
        config=F1Config,
        build=build_f1,
        summary="Harmonic mean of precision and recall of one class.",
        source="van Rijsbergen 1979, Information Retrieval",
    )
    yield MetricSpec(
        name="matthews",
        config=EmptyConfig,
        build=partial(build, "matthews"),
        summary="Matthews correlation of predicted and right classes.",
        source="Matthews 1975, doi:10.1016/0005-2795(75)90109-9; more classes: Gorodkin 2004",
    )
    yield MetricSpec(
        name="pearson",
        config=EmptyConfig,
        build=partial(build, "pearson"),
        summary="Linear correlation of predicted and right values.",
    )
    yield MetricSpec(
        name="spearman",
        config=EmptyConfig,
        build=partial(build, "spearman"),
        summary="Rank correlation of predicted and right values.",
    )
