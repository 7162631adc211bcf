"""Options of ``conll`` and what follows from them without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from bertmod import Problem, Role, Task, TaskContext, TaskSpec
from bertmod.builtin.tasks.tags import config as tagging
from bertmod.builtin.tasks.tags.config import TaggingConfig

SPLITS: Mapping[str, Role] = {"train": "train", "dev": "dev", "test": "test"}

USUAL = {
    "train": ("train.txt", "eng.train"),
    "dev": ("dev.txt", "valid.txt", "eng.testa"),
    "test": ("test.txt", "eng.testb"),
}
"""Split to the names that its file may have, in the folder CoNLL2003 or in the data folder."""


class ConllConfig(TaggingConfig):
    """Options of ``conll``."""

    train: str | None = Field(
        None,
        description="Training file; null: CoNLL2003/train.txt or eng.train in the data folder.",
        json_schema_extra={"format": "path"},
    )
    dev: str | None = Field(
        None,
        description="Dev file; null: CoNLL2003/dev.txt, valid.txt or eng.testa in the data folder.",
        json_schema_extra={"format": "path"},
    )
    test: str | None = Field(
        None,
        description="Test file; null: CoNLL2003/test.txt or eng.testb in the data folder.",
        json_schema_extra={"format": "path"},
    )
    word_column: int = Field(
        0, description="Column of the word, from 0; negative ones count from the last, -1."
    )
    tag_column: int = Field(
        -1, description="Column of the tag, from 0; negative ones count from the last, -1."
    )
    test_has_tags: bool = Field(
        False,
        description="Whether the test file has tags, too; then it is scored like the dev file.",
    )


def build(config: ConllConfig, context: TaskContext) -> Task:
    """The task."""
    from bertmod.builtin.tasks.split_files import SplitFiles
    from bertmod.builtin.tasks.tags.conll import ConllFiles
    from bertmod.builtin.tasks.tags.task import TaggingTask

    paths = {split: usual_paths(config, split) for split in SPLITS}
    splits = SplitFiles(owner=f'task "{context.id}"', roles=SPLITS, paths=paths)
    files = ConllFiles(config.word_column, config.tag_column, test_has_tags=config.test_has_tags)
    return TaggingTask(config, context, splits=splits, files=files)


def usual_paths(config: ConllConfig, split: str) -> tuple[str, ...]:
    """The stated path of a split's file, or the usual ones inside the data folder."""
    stated: str | None = getattr(config, split)
    if stated is not None:
        return (stated,)
    return tuple(f"{folder}{name}" for folder in ("CoNLL2003/", "") for name in USUAL[split])


def splits(config: ConllConfig) -> Mapping[str, Role]:
    """Its splits and what each is for."""
    del config
    return SPLITS


def metrics(config: ConllConfig) -> Mapping[str, tuple[str, ...]]:
    """The metrics of the splits that are scored."""
    scored = ("dev", "test") if config.test_has_tags else ("dev",)
    return dict.fromkeys(scored, tagging.metric_names(config))


def check(config: ConllConfig) -> Sequence[Problem]:
    """What is wrong with the options."""
    found = list(tagging.tagging_problems(config))
    if config.word_column == config.tag_column:
        what = "word and tag are in the same column"
        found.append(Problem("tag_column", what, (f"word_column is {config.word_column} too",)))
    return found


CONLL = TaskSpec(
    name="conll",
    config=ConllConfig,
    summary="A tag for each word, such as the entity it is part of (CoNLL's column files)",
    source="Tjong Kim Sang and De Meulder 2003, W03-0419",
    build=build,
    splits=splits,
    head=tagging.tagging_head,
    metrics=metrics,
    targets=tagging.tagging_targets,
    num_labels=tagging.tagging_num_labels,
    check=check,
)
"""Column files of the CoNLL shared tasks."""
