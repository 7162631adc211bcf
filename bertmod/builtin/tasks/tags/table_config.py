"""Options of ``tag_table`` and what follows from them without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from bertmod import Problem, Task, TaskContext, TaskSpec
from bertmod.builtin.tasks.table_form import TableFormConfig, form_of, form_problems
from bertmod.builtin.tasks.table_splits import (
    TableSplitsConfig,
    split_problems,
    stated_paths,
    stated_splits,
)
from bertmod.builtin.tasks.tags import config as tagging
from bertmod.builtin.tasks.tags.config import TaggingConfig


class TagTableConfig(TaggingConfig, TableFormConfig, TableSplitsConfig):
    """Options of ``tag_table``."""

    words: str = Field(
        "words", description="Column of the words: a list, or text with spaces between them."
    )
    tags: str = Field(
        "tags", description="Column of the tags, one per word: a list, or text with spaces."
    )
    id_column: str | None = Field(
        None, description="Column of the rows' ids; null: rows are numbered from 0."
    )


def build(config: TagTableConfig, context: TaskContext) -> Task:
    """The task."""
    from bertmod.builtin.tasks.split_files import SplitFiles
    from bertmod.builtin.tasks.tags.table import TagTableFiles
    from bertmod.builtin.tasks.tags.task import TaggingTask
    from bertmod.builtin.tasks.usable_rows import RowReader

    files = SplitFiles(
        owner=f'task "{context.id}"', roles=stated_splits(config), paths=stated_paths(config)
    )
    rows = RowReader(form_of(config), config.id_column, context.strict_data)
    tables = TagTableFiles(rows, words=config.words, tags=config.tags)
    return TaggingTask(config, context, splits=files, files=tables)


def metrics(config: TagTableConfig) -> Mapping[str, tuple[str, ...]]:
    """The metrics of the dev split, and of the test split where its rows have tags."""
    scored = (split for split in stated_splits(config) if split != "train")
    return dict.fromkeys(scored, tagging.metric_names(config))


def check(config: TagTableConfig) -> Sequence[Problem]:
    """What is wrong with the options."""
    return [*split_problems(config), *form_problems(config), *tagging.tagging_problems(config)]


TAG_TABLE = TaskSpec(
    name="tag_table",
    config=TagTableConfig,
    summary="A tag for each word, from a table of your own (CSV, TSV, JSONL, Parquet)",
    build=build,
    splits=stated_splits,
    head=tagging.tagging_head,
    metrics=metrics,
    targets=tagging.tagging_targets,
    num_labels=tagging.tagging_num_labels,
    check=check,
)
"""Tables of words and tags."""
