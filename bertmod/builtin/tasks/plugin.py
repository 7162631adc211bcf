"""The tasks that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from bertmod import EmptyConfig, Role, Task, TaskContext, TaskSpec, hookimpl
from bertmod.builtin.tasks.choices.config import CHOICE_TABLE, SWAG
from bertmod.builtin.tasks.sentences.facts import GLUE, SentenceFacts
from bertmod.builtin.tasks.sentences.table_config import TABLE
from bertmod.builtin.tasks.sentences.xnli_config import XNLI
from bertmod.builtin.tasks.spans.config import SQUAD
from bertmod.builtin.tasks.spans.table_config import SPAN_TABLE
from bertmod.builtin.tasks.tags.conll_config import CONLL
from bertmod.builtin.tasks.tags.table_config import TAG_TABLE

BERTMOD_CONTRACT = 1


def build(facts: SentenceFacts, config: EmptyConfig, context: TaskContext) -> Task:
    """The task that the facts describe."""
    from bertmod.builtin.tasks.sentences.published import published_task

    del config
    return published_task(facts, context)


def splits(facts: SentenceFacts, config: EmptyConfig) -> Mapping[str, Role]:
    """Its splits and what each is for."""
    del config
    return {name: split.role for name, split in facts.splits.items()}


def head(facts: SentenceFacts, config: EmptyConfig) -> Mapping[str, Any]:
    """The head slot it uses unless the recipe states one."""
    del config
    return {"name": "bertmod/classification" if facts.labels else "bertmod/regression"}


def metrics(facts: SentenceFacts, config: EmptyConfig) -> Mapping[str, tuple[str, ...]]:
    """The metrics of each dev split."""
    del config
    return {name: facts.metrics for name, split in facts.splits.items() if split.role == "dev"}


def targets(facts: SentenceFacts, config: EmptyConfig) -> Mapping[str, str]:
    """The targets of its features."""
    del config
    return {"labels": "class" if facts.labels else "value"}


def num_labels(facts: SentenceFacts, config: EmptyConfig) -> int:
    """The number of its labels; 1 for the one value of a regression."""
    del config
    return len(facts.labels) if facts.labels else 1


@hookimpl
def bertmod_tasks() -> Iterator[TaskSpec]:
    """GLUE's tasks, questions, tags, choices and tables."""
    for facts in GLUE:
        yield TaskSpec(
            name=facts.name,
            config=EmptyConfig,
            summary=facts.summary,
            source=facts.source,
            build=partial(build, facts),
            splits=partial(splits, facts),
            head=partial(head, facts),
            metrics=partial(metrics, facts),
            targets=partial(targets, facts),
            num_labels=partial(num_labels, facts),
        )
    yield from (CONLL, TAG_TABLE, SWAG, CHOICE_TABLE, SQUAD, SPAN_TABLE, TABLE, XNLI)
