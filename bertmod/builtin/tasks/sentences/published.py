"""Examples from the files of a published benchmark, as its facts describe them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertmod import DataError, Example, Role, TaskContext, TaskInfo
from bertmod.builtin.tasks.by_hand import id_of, text_of
from bertmod.builtin.tasks.sentences.examples import SentenceExamples
from bertmod.builtin.tasks.sentences.facts import SentenceFacts, SplitFile
from bertmod.builtin.tasks.sentences.labels import ClassLabels, LabelKind, ValueLabels
from bertmod.builtin.tasks.sentences.task import SentenceTask
from bertmod.builtin.tasks.split_files import (
    STRICT_HINT,
    TEST_HINT,
    SplitFiles,
    fingerprint,
)
from bertmod.data.columns import Cells, drop_rows, keep_rows, read_columns, report_malformed

_VERSION = 1  # part of the fingerprint: raise it when the same files give other examples


class PublishedSentences:
    """Texts and labels in a benchmark's own files.

    Args:
        facts: What is known of the task.
        context: Id of the task, and whether malformed rows are errors.
    """

    def __init__(self, facts: SentenceFacts, context: TaskContext) -> None:
        self._facts = facts
        self._context = context
        self._data: Path | None = None
        self.labels: LabelKind = _labels_of(facts)
        self.metrics: Sequence[str] = facts.metrics
        self._files = SplitFiles(
            owner=self._owner,
            roles=facts.roles,
            paths={name: file.paths for name, file in facts.splits.items()},
        )

    @property
    def splits(self) -> Mapping[str, Role]:
        """The benchmark's splits."""
        return self._files.roles

    def path(self, data: Path, split: str) -> Path:
        """The file of a split, whether it exists or not."""
        return self._files.path(data, split)

    def setup(self, data: Path) -> TaskInfo:
        """Bind to a data folder; labels and range do not depend on it."""
        files = self._files.needed(data, self._context)
        self._data = data
        return TaskInfo(
            labels=self._facts.labels,
            value_range=self._facts.value_range,
            fingerprint=fingerprint(_VERSION, {"task": self._facts.name}, files),
        )

    def read(self, split: str) -> SentenceExamples:
        """Examples of a split, malformed train and dev rows left out."""
        path = self._files.existing(self._data, split)
        file = self._facts.splits[split]
        cells = self._cells(path, file)
        if file.label is not None:
            cells = drop_rows(cells, self.labels.problems(cells.columns[file.label]))
        is_test = file.role == "test"
        hint = TEST_HINT if is_test else STRICT_HINT
        report_malformed(path, cells, strict=is_test or self._context.strict_data, hint=hint)
        return self._examples(file, cells)

    def example(self, fields: Mapping[str, Any]) -> Example:
        """An example from texts by name; ``index`` wins over ``id``."""
        texts = tuple(
            text_of(fields, names, owner=self._owner, place=place)
            for place, names in enumerate(self._facts.fields[: self._num_texts])
        )
        return {"id": id_of(fields), "texts": texts}

    def examples(self, path: Path) -> None:
        """None: the files are tables like others."""
        del path

    def output_name(self, split: str) -> str:
        """The benchmark's own name for a test split, else ``TASK.SPLIT.tsv``."""
        return self._facts.submissions.get(split, f"{self._context.id}.{split}.tsv")

    @property
    def _owner(self) -> str:
        return f'task "{self._context.id}"'

    @property
    def _num_texts(self) -> int:
        return len(next(iter(self._facts.splits.values())).texts)

    def _cells(self, path: Path, file: SplitFile) -> Cells:
        """The columns that are needed, of the rows that belong to the split."""
        needed = (file.label, file.id, file.only[0] if file.only else None)
        wanted = [*file.texts, *(column for column in needed if column is not None)]
        cells = read_columns(path, wanted, num_columns=file.num_columns)
        if file.only:
            cells = _rows_with(path, cells, *file.only)
        if file.label is not None and self._facts.renamed:
            renamed = [self._facts.renamed.get(cell, cell) for cell in cells.columns[file.label]]
            cells = replace(cells, columns={**cells.columns, file.label: renamed})
        return cells

    def _examples(self, file: SplitFile, cells: Cells) -> SentenceExamples:
        ids = (
            [str(line - cells.first_line) for line in cells.lines.tolist()]
            if file.id is None
            else cells.columns[file.id]
        )
        texts = tuple(cells.columns[column] for column in file.texts)
        labels = None if file.label is None else self.labels.parse(cells.columns[file.label])
        return SentenceExamples(ids, texts, labels)


def published_task(facts: SentenceFacts, context: TaskContext) -> SentenceTask:
    """The task that the facts describe."""
    return SentenceTask(PublishedSentences(facts, context), context)


def _labels_of(facts: SentenceFacts) -> LabelKind:
    if facts.value_range is not None:
        return ValueLabels(*facts.value_range)
    return ClassLabels(facts.labels or ())


def _rows_with(path: Path, cells: Cells, column: str | int, value: str) -> Cells:
    """The rows that have a value in a column.

    Raises:
        DataError: If none has.
    """
    found = cells.columns[column]
    kept = [row for row, cell in enumerate(found) if cell == value]
    if not kept and found:
        has = ", ".join(f'"{each}"' for each in sorted(set(found))[:20])
        raise DataError(f'{path}: no row has "{value}" in column "{column}"\n  it has: {has}')
    return keep_rows(cells, kept)
