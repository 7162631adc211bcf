"""Questions, texts and answers in tables of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bertmod import Example, Role, TaskContext
from bertmod.builtin.tasks.spans.table_config import SpanTableConfig
from bertmod.builtin.tasks.spans.task import SpanFiles, SpanTask
from bertmod.builtin.tasks.spans.words import Words, locate, why_lost
from bertmod.builtin.tasks.split_files import SplitFiles
from bertmod.builtin.tasks.table_form import TableFormConfig, form_of
from bertmod.builtin.tasks.table_splits import stated_paths, stated_splits
from bertmod.builtin.tasks.usable_rows import RowReader
from bertmod.data.table_files import Row, as_text


def span_table_task(config: SpanTableConfig, context: TaskContext) -> SpanTask:
    """The task on the tables that the options state.

    Raises:
        DataError: If rows are too short for a question and a text.
    """
    files = SplitFiles(
        owner=f'task "{context.id}"', roles=stated_splits(config), paths=stated_paths(config)
    )
    reader = SpanTableReader(config, strict=context.strict_data)
    columns = ("question", "context", "answer", "answer_start", "id_column", "no_answers")
    options = {name: getattr(config, name) for name in (*columns, *TableFormConfig.model_fields)}
    texts = {name: getattr(config, name) for name in ("question", "context")}
    source = SpanFiles(files, reader, options, are_tables=True, columns=texts)
    return SpanTask(config, context, source, no_answers=config.no_answers)


@dataclass(frozen=True)
class SpanTableReader:
    """Reads tables with a question, a text and an answer in each row.

    Attributes:
        config: Names of the columns.
        strict: Whether a malformed train or dev row is an error.
    """

    config: SpanTableConfig
    strict: bool = False

    def __call__(self, path: Path, role: Role) -> list[Example]:
        """Examples of a table, in its order, as ``SquadReader`` gives them.

        A train or dev row is left out if it is malformed; a training row also if its answer is
        not in its text.

        Raises:
            DataError: As ``RowReader.read``.
        """
        wanted = {name: getattr(self.config, name) for name in self._columns(role)}
        reader = RowReader(form_of(self.config), self.config.id_column, self.strict)
        make = partial(self._example, columns=wanted, role=role)
        found = reader.read(path, list(wanted.values()), make, is_test=role == "test")
        return [
            {"id": id_, **example} for id_, example in zip(found.ids, found.values, strict=True)
        ]

    def _columns(self, role: Role) -> list[str]:
        """The options whose columns are read."""
        known = ["question", "context"]
        if role != "test":
            known += ["answer", "answer_start"]
        return [name for name in known if getattr(self.config, name) is not None]

    def _example(self, row: Row, *, columns: Mapping[str, str], role: Role) -> Example:
        """The example of a row, without its id.

        Raises:
            ValueError: If the row is malformed.
        """
        cells = {name: row.get(column) for name, column in columns.items()}
        example = {name: _text(name, cells[name]) for name in ("question", "context")}
        if role == "test":
            return example
        text = _text("answer", cells["answer"] if cells["answer"] is not None else "")
        if not text.strip():
            if not self.config.no_answers:
                raise ValueError('it has no answer, and "no_answers" is false')
            return {**example, "answers": [], "is_impossible": True}
        context = example["context"]
        answer = {"text": text, "answer_start": self._start(cells, context, text)}
        if role == "train" and locate(Words(context), context, answer) is None:
            raise ValueError(why_lost(context, answer))
        kind = {"is_impossible": False} if self.config.no_answers else {}
        return {**example, "answers": [answer], **kind}

    def _start(self, cells: Mapping[str, Any], context: str, text: str) -> int:
        if "answer_start" not in cells:
            return context.find(text)
        try:
            return int(cells["answer_start"])
        except (TypeError, ValueError):
            shown = cells["answer_start"]
            raise ValueError(f'answer_start "{shown}" is not a whole number') from None


def _text(name: str, value: Any) -> str:
    if value is None:
        raise ValueError(f"its {name} is missing")
    return as_text(value, name)
