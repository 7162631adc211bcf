"""Options of ``table`` and what follows from them without data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import Field

from bertmod import ComponentConfig, Problem, Role, Task, TaskContext, TaskSpec
from bertmod.builtin.tasks.table_form import TableFormConfig, form_problems
from bertmod.builtin.tasks.table_splits import TableSplitsConfig, split_problems

Name = Annotated[str, Field(min_length=1)]
Target = Literal["class", "value", "flags"]


class TableSplit(ComponentConfig):
    """Which share of the training rows is kept for other splits."""

    dev: float = Field(0.1, gt=0, lt=1, description="Share of the rows for dev, in (0, 1).")
    test: float = Field(0.0, ge=0, lt=1, description="Share of the rows for test, in [0, 1).")
    seed: int = Field(13, ge=0, description="Decides which rows these are, at least 0.")


class TableConfig(TableFormConfig, TableSplitsConfig):
    """Options of ``table``."""

    split: TableSplit | None = Field(
        None, description="Takes dev and test rows out of the training table; null: it does not."
    )
    text: Name | tuple[Name, ...] = Field(
        "text",
        description="Column of the text, or a list of columns: the first is the first text, the "
        "others, with spaces between them, are the second.",
    )
    label: Name | tuple[Name, ...] = Field(
        "label",
        description="Column of the label; or a list of columns with 0 and 1, one per label, of "
        "which any number may be 1.",
    )
    label_separator: Name | None = Field(
        None,
        description="What stands between the labels of a row that may have any number of them; "
        "null: a row has one.",
    )
    labels: tuple[Name, ...] | None = Field(
        None,
        description="Every label name, in the order of the logits; null: those of the training "
        "rows, sorted.",
    )
    value_range: tuple[float, float] | None = Field(
        None,
        description="Lowest and highest label where labels are numbers to be graded, in their own "
        "unit; null: labels are names.",
    )
    id_column: Name | None = Field(
        None, description="Column of the rows' ids; null: rows are numbered from 0."
    )
    metrics: tuple[Name, ...] | None = Field(
        None,
        min_length=1,
        json_schema_extra={"format": "metric"},
        description="Metrics of the dev split, the main one first; null: accuracy and macro_f1 of "
        "one label, micro_f1, macro_f1 and exact_match of several, pearson, spearman and rmse of "
        "values.",
    )


USUAL_METRICS: Mapping[Target, tuple[str, ...]] = {
    "class": ("accuracy", "macro_f1"),
    "value": ("pearson", "spearman", "rmse"),
    "flags": ("micro_f1", "macro_f1", "exact_match"),
}
"""Kind of target to the metrics that are taken where none is stated."""

SUITABLE: Mapping[Target, frozenset[str]] = {
    "class": frozenset({"accuracy", "f1", "macro_f1", "micro_f1", "matthews", "exact_match"}),
    "value": frozenset({"pearson", "spearman", "rmse", "mae"}),
    "flags": frozenset({"micro_f1", "macro_f1", "exact_match"}),
}
"""Kind of target to the metrics that ship with bertmod and take it."""

_HEADS: Mapping[Target, str] = {
    "class": "bertmod/classification",
    "value": "bertmod/regression",
    "flags": "bertmod/multi_label",
}


def columns_of(option: str | tuple[str, ...]) -> tuple[str, ...]:
    """One column or several as several."""
    return (option,) if isinstance(option, str) else option


def target(config: TableConfig) -> Target:
    """What a label is: one name, a number, or any number of names."""
    if config.value_range is not None:
        return "value"
    several = config.label_separator is not None or not isinstance(config.label, str)
    return "flags" if several else "class"


def splits(config: TableConfig) -> Mapping[str, Role]:
    """The splits that have a file or a share of the training rows."""
    taken = config.split
    there: Mapping[Role, bool] = {
        "train": config.train is not None,
        "dev": config.dev is not None or taken is not None,
        "test": config.test is not None or (taken is not None and taken.test > 0),
    }
    return {role: role for role, is_there in there.items() if is_there}


def build(config: TableConfig, context: TaskContext) -> Task:
    """The task."""
    from bertmod.builtin.tasks.sentences.table import TableSentences
    from bertmod.builtin.tasks.sentences.task import SentenceTask

    return SentenceTask(TableSentences(config, context), context)


def head(config: TableConfig) -> Mapping[str, Any]:
    """The head slot it uses unless the recipe states one."""
    return {"name": _HEADS[target(config)]}


def metric_names(config: TableConfig) -> tuple[str, ...]:
    """The metrics of a scored split, the main one first."""
    return config.metrics or USUAL_METRICS[target(config)]


def metrics(config: TableConfig) -> Mapping[str, tuple[str, ...]]:
    """The metrics of the dev split, and of the test split where its rows have labels."""
    scored = (split for split in splits(config) if split != "train")
    return dict.fromkeys(scored, metric_names(config))


def targets(config: TableConfig) -> Mapping[str, str]:
    """The targets of its features."""
    return {"labels": target(config)}


def num_labels(config: TableConfig) -> int | None:
    """The number of labels, 1 for a value; None if only the data tells."""
    if target(config) == "value":
        return 1
    stated = config.labels if isinstance(config.label, str) else config.label
    return None if stated is None else len(stated)


def num_types(config: TableConfig) -> int:
    """1 for single texts, 2 where further columns are the second text."""
    return min(len(columns_of(config.text)), 2)


def check(config: TableConfig) -> Sequence[Problem]:
    """What is wrong with the options among themselves."""
    return [
        *form_problems(config),
        *_problems_of_files(config),
        *_problems_of_columns(config),
        *_problems_of_labels(config),
        *_problems_of_metrics(config),
    ]


def _problems_of_files(config: TableConfig) -> Iterator[Problem]:
    taken = config.split
    if taken is None:
        yield from split_problems(config)
        return
    if config.train is None:
        yield Problem("split", "there is no training table to take rows from", ('state "train"',))
    if config.dev is not None:
        yield Problem("split", '"dev" names a table, and split takes dev rows too', _ONE_OF_TWO)
    if config.test is not None and taken.test > 0:
        yield Problem("split.test", '"test" names a table already', _ONE_OF_TWO)
    if taken.dev + taken.test >= 1:
        what = f"dev {taken.dev:g} and test {taken.test:g} leave no training rows"
        yield Problem("split", what, ("together they must be below 1",))


_ONE_OF_TWO = ("leave one of the two out",)


def _problems_of_columns(config: TableConfig) -> Iterator[Problem]:
    texts, labels = columns_of(config.text), columns_of(config.label)
    for option, names in (("text", texts), ("label", labels)):
        if not names:
            yield Problem(option, "empty: name at least one column")
        elif len(set(names)) < len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            yield Problem(option, f'"{repeated}" stands twice', ("name each column once",))
    for name in labels:
        if name in texts:
            yield Problem("label", f'"{name}" is a column of text too: it would tell the label')


def _problems_of_labels(config: TableConfig) -> Iterator[Problem]:
    if config.value_range is not None:
        low, high = config.value_range
        if not (isfinite(low) and isfinite(high) and low < high):
            what = f"{low:g} to {high:g} is no range"
            yield Problem("value_range", what, ("the lowest label first, then the highest",))
        if not isinstance(config.label, str):
            yield Problem("label", "several columns hold names, but value_range is of numbers")
        for option in ("labels", "label_separator"):
            if getattr(config, option) is not None:
                yield Problem(option, "labels are numbers of value_range, not names", _ONE_OF_TWO)
    elif not isinstance(config.label, str):
        for option in ("labels", "label_separator"):
            if getattr(config, option) is not None:
                yield Problem(option, "the columns of label are the labels", ("leave it out",))
    elif config.labels is not None:
        least = 1 if config.label_separator else 2
        if len(config.labels) < least or len(set(config.labels)) < len(config.labels):
            number = "one or more" if least == 1 else "two or more"
            yield Problem("labels", f"the label names must be {number}, each once")


def _problems_of_metrics(config: TableConfig) -> Iterator[Problem]:
    kind = target(config)
    others = frozenset[str]().union(*SUITABLE.values()) - SUITABLE[kind]
    told = {"class": "one label per row", "value": "values", "flags": "several labels per row"}
    for place, name in enumerate(config.metrics or ()):
        if name in others:
            more = (f"metrics that do: {', '.join(sorted(SUITABLE[kind]))}",)
            yield Problem(f"metrics[{place}]", f'"{name}" does not score {told[kind]}', more)


TABLE = TaskSpec(
    name="table",
    config=TableConfig,
    summary="Classes, values or several labels of your own texts, from a table (CSV, TSV, JSONL, "
    "Parquet).",
    build=build,
    splits=splits,
    head=head,
    metrics=metrics,
    targets=targets,
    num_labels=num_labels,
    num_types=num_types,
    check=check,
)
"""A table of texts."""
