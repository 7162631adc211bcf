"""The tasks that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator

from bertmod import EmptyConfig, TaskSpec, hookimpl
from bertmod.builtin.tasks.choices.config import CHOICE_TABLE, SWAG
from bertmod.builtin.tasks.pretraining.config import PRETRAINING
from bertmod.builtin.tasks.sentences.facts import GLUE, SentenceFacts
from bertmod.builtin.tasks.sentences.published_config import published_spec
from bertmod.builtin.tasks.sentences.table_config import TABLE
from bertmod.builtin.tasks.sentences.xnli_config import XNLI
from bertmod.builtin.tasks.spans.config import SQUAD
from bertmod.builtin.tasks.spans.table_config import SPAN_TABLE
from bertmod.builtin.tasks.tags.conll_config import CONLL
from bertmod.builtin.tasks.tags.table_config import TAG_TABLE

BERTMOD_CONTRACT = 1


@hookimpl
def bertmod_tasks() -> Iterator[TaskSpec]:
    """GLUE's tasks, questions, tags, choices, tables and pre-training."""
    yield from map(_glue, GLUE)
    yield from (CONLL, TAG_TABLE, SWAG, CHOICE_TABLE, SQUAD, SPAN_TABLE, TABLE, XNLI, PRETRAINING)


def _glue(facts: SentenceFacts) -> TaskSpec:
    return published_spec(EmptyConfig, lambda _: facts)
