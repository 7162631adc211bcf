"""Examples from tables of the user's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bertmod import DataError, Example, Role, TaskContext, TaskInfo
from bertmod.builtin.tasks.by_hand import text_of
from bertmod.builtin.tasks.sentences.examples import Label, SentenceExamples
from bertmod.builtin.tasks.sentences.labels import ClassLabels, FlagLabels, LabelKind, ValueLabels
from bertmod.builtin.tasks.sentences.table_cells import row_label, row_texts
from bertmod.builtin.tasks.sentences.table_config import (
    TableConfig,
    columns_of,
    metric_names,
    splits,
    target,
)
from bertmod.builtin.tasks.sentences.table_rows import found_names, require_different, shares
from bertmod.builtin.tasks.split_files import SplitFiles, fingerprint
from bertmod.builtin.tasks.table_form import form_of
from bertmod.builtin.tasks.usable_rows import RowReader, UsableRows
from bertmod.data.table_files import Row
from bertmod.wording import counted

_VERSION = 1  # part of the fingerprint: raise it when the same files give other examples


class _Made(NamedTuple):
    """What a row says: its texts, and its label as text or a list of names."""

    texts: tuple[str, ...]
    label: Any


class TableSentences:
    """Texts and labels in tables.

    Args:
        config: Options of ``table``.
        context: Id of the task, the metrics there are, whether malformed rows are errors.
    """

    def __init__(self, config: TableConfig, context: TaskContext) -> None:
        self._config = config
        self._context = context
        self._data: Path | None = None
        self._columns = columns_of(config.text)
        self.labels: LabelKind = _kind_of(config, _stated(config) or ())
        self.metrics: Sequence[str] = metric_names(config)
        self._label = row_label(config)
        self._reader = RowReader(form_of(config), config.id_column, context.strict_data)
        self._files = SplitFiles(owner=self._owner, roles=splits(config), paths=_paths(config))

    @property
    def splits(self) -> Mapping[str, Role]:
        """The splits that have a table or a share of the training rows."""
        return self._files.roles

    def path(self, data: Path, split: str) -> Path:
        """The table that a split is read from."""
        return self._files.path(data, split)

    def setup(self, data: Path) -> TaskInfo:
        """Bind to a data folder, in which relative paths lie; find and count the labels."""
        files = self._files.needed(data, self._context)
        self._data = data
        self.labels = _kind_of(self._config, _stated(self._config) or ())
        options = self._config.model_dump(mode="json", exclude={"train", "dev", "test"})
        names, counts = _stated(self._config), None
        if "train" in files:
            names, counts = self._found_labels(files["train"])
        self.labels = _kind_of(self._config, names or ())
        return TaskInfo(
            labels=names,
            value_range=self._config.value_range,
            fingerprint=fingerprint(_VERSION, options, files),
            label_counts=counts,
        )

    def read(self, split: str) -> SentenceExamples:
        """Examples of a split; malformed rows that are not test rows are left out."""
        path = self._files.existing(self._data, split)
        found = self._rows(path, is_test=self.splits[split] == "test" and not self._is_share(split))
        labels = self._labels_of(path, found)
        texts = [row.texts for row in found.values]
        rows: Sequence[int] = range(len(texts))
        if self._is_share(split) and labels is not None:
            rows = self._share(path, labels, split)
        return SentenceExamples(
            [found.ids[row] for row in rows],
            tuple([texts[row][place] for row in rows] for place in range(len(texts[0]))),
            None if labels is None else [labels[row] for row in rows],
        )

    def example(self, fields: Mapping[str, Any]) -> Example:
        """An example from texts by column, or as ``text`` and ``text_pair``."""
        first, *others = self._columns
        number = self._reader.id_of(fields)
        if all(name in fields for name in self._columns):
            try:
                return {"id": number, "texts": row_texts(fields, self._columns)}
            except ValueError as error:
                raise DataError(f"{self._owner}: {error}") from error
        alone = [name for name in others if len(others) == 1 and name != "text"]
        names = [("text", first), ("text_pair", *alone)][: 1 + bool(others)]
        texts = (
            text_of(fields, list(dict.fromkeys(each)), owner=self._owner, place=place)
            for place, each in enumerate(names)
        )
        return {"id": number, "texts": tuple(texts)}

    def examples(self, path: Path) -> list[Example] | None:
        """Rows of a table that is written as the options say; None if they say nothing."""
        return self._reader.answered(path, self.example)

    def output_name(self, split: str) -> str:
        """``TASK.SPLIT.tsv``."""
        return f"{self._context.id}.{split}.tsv"

    @property
    def _owner(self) -> str:
        return f'task "{self._context.id}"'

    def _is_share(self, split: str) -> bool:
        """Whether a split is a share of the training rows."""
        stated = split != "train" and getattr(self._config, split) is not None
        return self._config.split is not None and not stated

    def _rows(self, path: Path, *, is_test: bool, quiet: bool = False) -> UsableRows[_Made]:
        """Texts and labels of a table; the labels of test rows may be missing."""
        needed = [*self._columns, *(() if is_test else columns_of(self._config.label))]
        make = partial(self._made, is_test=is_test)
        return self._reader.read(path, needed, make, is_test=is_test, quiet=quiet)

    def _made(self, row: Row, *, is_test: bool) -> _Made:
        texts = row_texts(row, self._columns)
        if is_test and all(row.get(name) in (None, "") for name in columns_of(self._config.label)):
            return _Made(texts, None)
        label = self._label(row)
        for problem in self.labels.problems([label]).values():
            raise ValueError(problem)
        return _Made(texts, label)

    def _labels_of(self, path: Path, found: UsableRows[_Made]) -> Sequence[Label] | None:
        """The labels of all rows; None if no row has one.

        Raises:
            DataError: If some rows lack one.
        """
        labels = [row.label for row in found.values]
        if self._config.label_separator is not None and any(labels):
            labels = [label or [] for label in labels]
        stated = found.all_or_none(path, labels)
        return None if stated is None else self.labels.parse(stated)

    def _share(self, path: Path, labels: Sequence[Label], split: str) -> list[int]:
        assert self._config.split is not None
        rows = shares(labels, self._config.split)[split]
        if not len(rows):
            whole = counted(len(labels), "row")
            raise DataError(f'{path}: "split" leaves no row of {whole} for {split}')
        return [int(row) for row in rows]

    def _found_labels(self, path: Path) -> tuple[tuple[str, ...] | None, tuple[int, ...] | None]:
        """Label names and how often each stands in the training table; None for values.

        Raises:
            DataError: If there is nothing to learn from it.
        """
        rows = self._rows(path, is_test=False, quiet=True).values
        found = self.labels.parse([row.label for row in rows])
        require_different(path, found)
        if target(self._config) == "value":
            return None, None
        counts = Counter(
            name for each in found for name in (each if isinstance(each, list) else [str(each)])
        )
        names = _stated(self._config) or found_names(path, counts, num_rows=len(found))
        if "f1" in self.metrics and "1" not in names:
            raise DataError(
                f'{self._owner}: metric "f1" is of the label "1", which is none of '
                f'{", ".join(names)}\n  "macro_f1" is the mean over all labels'
            )
        return names, tuple(counts[name] for name in names)


def _stated(config: TableConfig) -> tuple[str, ...] | None:
    """Label names that the options state."""
    return config.labels if isinstance(config.label, str) else config.label


def _kind_of(config: TableConfig, names: tuple[str, ...]) -> LabelKind:
    if config.value_range is not None:
        return ValueLabels(*config.value_range)
    return FlagLabels(names) if target(config) == "flags" else ClassLabels(names)


def _paths(config: TableConfig) -> dict[str, tuple[str, ...]]:
    """The table of each split; shares of the training rows come from the training table."""
    return {split: (str(getattr(config, split) or config.train),) for split in splits(config)}
