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


_PLAIN = (
    ("accuracy", "Share of right answers.", ""),
    (
        "matthews",
        "Matthews correlation of predicted and right classes.",
        "Matthews 1975, doi:10.1016/0005-2795(75)90109-9; more classes: Gorodkin 2004",
    ),
    ("pearson", "Linear correlation of predicted and right values.", ""),
    ("spearman", "Rank correlation of predicted and right values.", ""),
    ("macro_f1", "Mean over all labels of F1, of one label per example or several.", ""),
    ("micro_f1", "F1 of all labels together, of one label per example or several.", ""),
    ("exact_match", "Share of examples that have just the right labels.", ""),
    ("rmse", "Root of the mean squared error of values, in their unit.", ""),
    ("mae", "Mean absolute error of values, in their unit.", ""),
)


@hookimpl
def bertmod_metrics() -> Iterator[MetricSpec]:
    """The metrics that GLUE reports, and those of tables: several labels, distances."""
    yield MetricSpec(
        name="f1",
        config=F1Config,
        build=build_f1,
        summary="Harmonic mean of precision and recall of one class.",
        source="van Rijsbergen 1979, Information Retrieval",
    )
    for name, summary, source in _PLAIN:
        build_one = partial(build, name)
        yield MetricSpec(
            name=name, config=EmptyConfig, build=build_one, summary=summary, source=source
        )
