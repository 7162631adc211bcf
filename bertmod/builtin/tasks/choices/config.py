"""Options of ``swag`` and ``choice_table`` and what follows from them without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from bertmod import ComponentConfig, Problem, Role, Task, TaskContext, TaskSpec
from bertmod.builtin.tasks.table_form import TableFormConfig, form_of, form_problems
from bertmod.builtin.tasks.table_splits import (
    TableSplitsConfig,
    split_problems,
    stated_paths,
    stated_splits,
)

METRICS = ("accuracy",)
SWAG_SPLITS: Mapping[str, Role] = {"train": "train", "dev": "dev", "test": "test"}
SWAG_FILES = {"train": "train.csv", "dev": "val.csv", "test": "test.csv"}


class SwagConfig(ComponentConfig):
    """Options of ``swag``."""

    train: str | None = Field(
        None,
        description="Training file; null: SWAG/train.csv or train.csv in the data folder.",
        json_schema_extra={"format": "path"},
    )
    dev: str | None = Field(
        None,
        description="Dev file; null: SWAG/val.csv or val.csv in the data folder.",
        json_schema_extra={"format": "path"},
    )
    test: str | None = Field(
        None,
        description="Test file, without labels; null: SWAG/test.csv or test.csv in the data "
        "folder.",
        json_schema_extra={"format": "path"},
    )


class ChoiceTableConfig(TableFormConfig, TableSplitsConfig):
    """Options of ``choice_table``."""

    context: str = Field("context", description="Column of what every choice follows.")
    question: str | None = Field(
        None,
        description="Column of what stands before each choice, joined to it with a space; null: "
        "nothing.",
    )
    choices: tuple[str, ...] = Field(
        ("choices",),
        min_length=1,
        description="A column per choice, of which the last may be empty; or one column that has "
        "a list, in JSON where cells are text.",
    )
    label: str = Field("label", description="Column of the right choice.")
    label_names: tuple[str, ...] | None = Field(
        None,
        description="What the first, second ... choice is called in the label column, such as A, "
        "B, C; null: by its number from 0.",
    )
    id_column: str | None = Field(
        None, description="Column of the rows' ids; null: rows are numbered from 0."
    )


def build_swag(config: SwagConfig, context: TaskContext) -> Task:
    """The task on the published columns."""
    from bertmod.builtin.tasks.choices.tables import ChoiceTables
    from bertmod.builtin.tasks.choices.task import ChoiceTask
    from bertmod.builtin.tasks.split_files import SplitFiles
    from bertmod.builtin.tasks.usable_rows import RowReader
    from bertmod.data.table_files import USUAL

    paths = {
        split: (stated,)
        if (stated := getattr(config, split)) is not None
        else (f"SWAG/{name}", name)
        for split, name in SWAG_FILES.items()
    }
    endings = tuple(f"ending{number}" for number in range(4))
    rows = RowReader(USUAL, strict=context.strict_data)
    tables = ChoiceTables(rows, "sent1", "sent2", endings, "label")
    files = SplitFiles(owner=f'task "{context.id}"', roles=SWAG_SPLITS, paths=paths)
    return ChoiceTask(context, splits=files, tables=tables, options={"task": "swag"})


def build_table(config: ChoiceTableConfig, context: TaskContext) -> Task:
    """The task on tables of the user's own."""
    from bertmod.builtin.tasks.choices.tables import ChoiceTables
    from bertmod.builtin.tasks.choices.task import ChoiceTask
    from bertmod.builtin.tasks.split_files import SplitFiles
    from bertmod.builtin.tasks.usable_rows import RowReader

    rows = RowReader(form_of(config), config.id_column, context.strict_data)
    columns = (config.context, config.question, config.choices, config.label)
    tables = ChoiceTables(rows, *columns, config.label_names)
    options = config.model_dump(mode="json", exclude={"train", "dev", "test"})
    files = SplitFiles(
        owner=f'task "{context.id}"', roles=stated_splits(config), paths=stated_paths(config)
    )
    return ChoiceTask(context, splits=files, tables=tables, options=options)


def swag_splits(config: SwagConfig) -> Mapping[str, Role]:
    """Its splits and what each is for."""
    del config
    return SWAG_SPLITS


def head(config: ComponentConfig) -> Mapping[str, Any]:
    """The head slot it uses unless the recipe states one."""
    del config
    return {"name": "bertmod/multiple_choice"}


def swag_metrics(config: SwagConfig) -> Mapping[str, tuple[str, ...]]:
    """The metric of the dev split; the published test file has no labels."""
    del config
    return {"dev": METRICS}


def table_metrics(config: ChoiceTableConfig) -> Mapping[str, tuple[str, ...]]:
    """The metric of the dev split, and of the test split where its rows have labels."""
    return {split: METRICS for split in stated_splits(config) if split != "train"}


def targets(config: ComponentConfig) -> Mapping[str, str]:
    """``labels``: the right row of each feature."""
    del config
    return {"labels": "choice"}


def num_labels(config: ComponentConfig) -> int:
    """1: each row gets one number."""
    del config
    return 1


def num_types(config: ComponentConfig) -> int:
    """2: what every choice follows, and the choice."""
    del config
    return 2


def table_problems(config: ChoiceTableConfig) -> Sequence[Problem]:
    """What is wrong with the columns and the names of the choices."""
    found = [*split_problems(config), *form_problems(config)]
    if len(set(config.choices)) < len(config.choices):
        found.append(Problem("choices", "a column is named twice"))
    names = config.label_names
    if names is not None and len(set(names)) < len(names):
        found.append(Problem("label_names", "a name stands twice"))
    if names is not None and len(names) < max(2, len(config.choices)):
        least = max(2, len(config.choices))
        found.append(Problem("label_names", f"{len(names)} names for {least} choices or more"))
    return found


SWAG = TaskSpec(
    name="swag",
    config=SwagConfig,
    summary="Which of four endings goes on with the scene? (SWAG)",
    source="Zellers et al. 2018, arXiv:1808.05326",
    build=build_swag,
    splits=swag_splits,
    head=head,
    metrics=swag_metrics,
    targets=targets,
    num_labels=num_labels,
    num_types=num_types,
)
"""SWAG's published files."""

CHOICE_TABLE = TaskSpec(
    name="choice_table",
    config=ChoiceTableConfig,
    summary="One of several choices, from a table of your own (CSV, TSV, JSONL, Parquet)",
    build=build_table,
    splits=stated_splits,
    head=head,
    metrics=table_metrics,
    targets=targets,
    num_labels=num_labels,
    num_types=num_types,
    check=table_problems,
)
"""Tables of contexts and choices."""
