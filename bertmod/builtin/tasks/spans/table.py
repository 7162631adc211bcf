"""Questions, texts and answers in tables of the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from bertmod import Example, Role, TaskContext
from bertmod.builtin.tasks.spans.reading import Questions
from bertmod.builtin.tasks.spans.table_config import SpanTableConfig
from bertmod.builtin.tasks.spans.task import SpanFiles, SpanTask
from bertmod.builtin.tasks.spans.words import Words
from bertmod.builtin.tasks.split_files import TEST_HINT, SplitFiles
from bertmod.builtin.tasks.table_form import TableFormConfig, form_of
from bertmod.builtin.tasks.table_splits import stated_paths, stated_splits
from bertmod.data.table_files import read_whole_table, require_columns


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
            DataError: If the file cannot be read, lacks a column, or has no row that can be used;
                if two rows have one id; if a row to be answered is malformed.
        """
        table = read_whole_table(path, form=form_of(self.config))
        wanted = {name: getattr(self.config, name) for name in self._columns(role)}
        require_columns(path, table, wanted.values())
        found = Questions(path, of="row")
        given: list[tuple[int, Any]] = [
            *zip(table.lines, table.rows, strict=True),
            *table.malformed,
        ]
        for number, (line, row) in enumerate(sorted(given, key=itemgetter(0))):
            place = f"{table.unit} {line}"
            try:
                example = self._example(str(number), row, wanted, role)
            except ValueError as error:
                found.leave_out(place, str(error))
                continue
            found.add(example, place, words=Words(example["context"]) if role == "train" else None)
        if role == "test":
            return found.finished(strict=True, hint=TEST_HINT)
        return found.finished(strict=self.strict)

    def _columns(self, role: Role) -> list[str]:
        """The options whose columns are read."""
        known = ["question", "context"]
        if role != "test":
            known += ["answer", "answer_start"]
        return [name for name in (*known, "id_column") if getattr(self.config, name) is not None]

    def _example(
        self, number: str, row: Mapping[str, Any] | str, columns: Mapping[str, str], role: Role
    ) -> Example:
        """The example of a row; text says what is wrong with it.

        Raises:
            ValueError: If the row is malformed.
        """
        if isinstance(row, str):
            raise ValueError(row)
        cells = {name: row.get(column) for name, column in columns.items()}
        texts = {name: _text(name, cells[name]) for name in ("question", "context")}
        example = {"id": str(cells.get("id_column", number)), **texts}
        if example["id"] in ("", "None"):
            raise ValueError("its id is missing")
        if role == "test":
            return example
        text = _text("answer", cells["answer"] if cells["answer"] is not None else "")
        if not text.strip():
            if not self.config.no_answers:
                raise ValueError('it has no answer, and "no_answers" is false')
            return {**example, "answers": [], "is_impossible": True}
        start = self._start(cells, texts["context"], text)
        kind = {"is_impossible": False} if self.config.no_answers else {}
        return {**example, "answers": [{"text": text, "answer_start": start}], **kind}

    def _start(self, cells: Mapping[str, Any], context: str, text: str) -> int:
        if "answer_start" not in cells:
            return context.find(text)
        try:
            return int(cells["answer_start"])
        except (TypeError, ValueError):
            shown = cells["answer_start"]
            raise ValueError(f'answer_start "{shown}" is not a whole number') from None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        found = "missing" if value is None else f"{type(value).__name__}, not text"
        raise ValueError(f"its {name} is {found}")
    return value
