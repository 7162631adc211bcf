"""Options of ``span_table`` and what follows from them without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from bertmod import Problem, Task, TaskContext, TaskSpec
from bertmod.builtin.tasks.spans import config as squad
from bertmod.builtin.tasks.spans.config import SpanConfig
from bertmod.builtin.tasks.table_form import TableFormConfig, form_problems
from bertmod.builtin.tasks.table_splits import TableSplitsConfig, split_problems, stated_splits


class SpanTableConfig(SpanConfig, TableFormConfig, TableSplitsConfig):
    """Options of ``span_table``."""

    question: str = Field("question", description="Column of the question.")
    context: str = Field("context", description="Column of the text that holds the answer.")
    answer: str = Field("answer", description="Column of the answer, as it stands in the text.")
    answer_start: str | None = Field(
        None,
        description="Column of the character of the text at which the answer begins, from 0; "
        "null: where the answer occurs first.",
    )
    id_column: str | None = Field(
        None, description="Column of the rows' ids; null: rows are numbered from 0."
    )
    no_answers: bool = Field(
        False, description="Whether a row with an empty answer is a question without answer."
    )


def build(config: SpanTableConfig, context: TaskContext) -> Task:
    """The task on the tables that the options state."""
    from bertmod.builtin.tasks.spans.table import span_table_task

    return span_table_task(config, context)


def metrics(config: SpanTableConfig) -> Mapping[str, tuple[str, ...]]:
    """The scores of the dev split, if there is one."""
    return {"dev": squad.scores(no_answers=config.no_answers)} if config.dev is not None else {}


def check(config: SpanTableConfig) -> Sequence[Problem]:
    """Files can be read so; a threshold is for questions that may have no answer."""
    found = [*split_problems(config), *form_problems(config)]
    if config.null_threshold is not None and not config.no_answers:
        what = "is for questions that may have no answer"
        more = ("set no_answers to true or leave it null",)
        found.append(Problem("null_threshold", what, more))
    return found


SPAN_TABLE = TaskSpec(
    name="span_table",
    config=SpanTableConfig,
    summary="Which words of a text answer the question? from a table of your own (CSV, TSV, "
    "JSONL, Parquet)",
    build=build,
    splits=stated_splits,
    head=squad.head,
    metrics=metrics,
    targets=squad.targets,
    num_labels=squad.num_labels,
    min_length=squad.min_length,
    num_types=squad.num_types,
    check=check,
)
"""Tables of questions, texts and answers."""
