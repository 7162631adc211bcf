"""Specs of tasks whose files, columns and labels a benchmark has fixed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bertmod import ComponentConfig, Task, TaskContext, TaskSpec
from bertmod.builtin.tasks.sentences.facts import SentenceFacts


def published_spec(
    config: type[ComponentConfig], facts_of: Callable[[Any], SentenceFacts]
) -> TaskSpec:
    """The spec of a task that facts describe.

    Args:
        config: Model of its options, all of which have defaults.
        facts_of: From options to facts; name, summary and source come from the defaults.
    """

    def build(options: ComponentConfig, context: TaskContext) -> Task:
        from bertmod.builtin.tasks.sentences.published import published_task

        return published_task(facts_of(options), context)

    usual = facts_of(config())
    return TaskSpec(
        name=usual.name,
        config=config,
        summary=usual.summary,
        source=usual.source,
        build=build,
        splits=lambda options: facts_of(options).roles,
        head=lambda options: {"name": f"bertmod/{facts_of(options).head}"},
        metrics=lambda options: facts_of(options).scored,
        targets=lambda options: {"labels": facts_of(options).target},
        num_labels=lambda options: len(facts_of(options).labels or ("value",)),
        num_types=lambda options: facts_of(options).num_texts,
    )
