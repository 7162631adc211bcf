"""Tasks that come with bertmod: the ten of GLUE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from bertmod import EmptyConfig, Role, Task, TaskContext, TaskSpec, hookimpl
from bertmod.builtin.tasks.facts import GLUE, SentenceFacts

BERTMOD_CONTRACT = 1


def build(facts: SentenceFacts, config: EmptyConfig, context: TaskContext) -> Task:
    """The task that the facts describe."""
    from bertmod.builtin.tasks.sentences import SentenceTask

    del config
    return SentenceTask(facts, context)


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
    """GLUE's tasks."""
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
