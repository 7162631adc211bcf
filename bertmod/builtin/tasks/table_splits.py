"""Options that name the tables of a task, one per split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from bertmod import ComponentConfig, Problem, Role


class TableSplitsConfig(ComponentConfig):
    """Options of tasks that read tables of the user's own."""

    train: str | None = Field(
        None,
        description="Training table: .csv, .tsv, .jsonl or .parquet; null only where the task "
        "uses another's head.",
        json_schema_extra={"format": "path"},
    )
    dev: str | None = Field(
        None,
        description="Dev table; null: there is none, and training is not scored.",
        json_schema_extra={"format": "path"},
    )
    test: str | None = Field(
        None,
        description="Table to answer, with or without right answers; null: there is none.",
        json_schema_extra={"format": "path"},
    )


def stated_splits(config: TableSplitsConfig) -> Mapping[str, Role]:
    """The splits that have a table, and what each is for."""
    usual: Mapping[str, Role] = {"train": "train", "dev": "dev", "test": "test"}
    return {split: role for split, role in usual.items() if getattr(config, split) is not None}


def stated_paths(config: TableSplitsConfig) -> Mapping[str, tuple[str, ...]]:
    """The table of each split."""
    return {split: (getattr(config, split),) for split in stated_splits(config)}


def split_problems(config: TableSplitsConfig) -> Iterator[Problem]:
    """A task has one table at least."""
    if not stated_splits(config):
        yield Problem("train", "missing: name the training table")
