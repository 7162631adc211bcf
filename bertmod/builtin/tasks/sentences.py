"""Tasks that classify or grade a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertmod import DataError, Example, Feature, Prediction, Role, TaskContext, TaskInfo
from bertmod.builtin.tasks.examples import Label, SentenceExamples
from bertmod.builtin.tasks.facts import SentenceFacts, SplitFile
from bertmod.builtin.tasks.labels import ClassLabels, LabelKind, ValueLabels
from bertmod.builtin.tasks.split_files import SplitFiles, fingerprint, require_complete
from bertmod.data.columns import Cells, drop_rows, read_columns, report_malformed
from bertmod.data.features import FeatureTable
from bertmod.data.tables import replace_text, submission_lines

if TYPE_CHECKING:
    from numpy.random import Generator

    from bertmod.contracts.task import Outputs

_VERSION = 1  # part of the fingerprint: raise it when the same files give other examples
_CHUNK = 16384  # texts handed to the tokenizer at once: bounds its memory
_STRICT_HINT = "\n  such rows are left out with a warning unless --strict-data is set"
_TEST_HINT = "\n  every row of a test file gets a prediction, so none can be left out"


class SentenceTask:
    """A task of GLUE.

    Examples are ``{"id", "texts", "label"}``: the id is the file's own index or the number of
    the data row from 0, as text; the label is a label name, or a float in ``value_range``.
    Predictions are ``{"id", "label", "probabilities"}`` or ``{"id", "value"}``.

    Args:
        facts: What is known of the task.
        context: Tokenizer, longest row and metrics.
    """

    cacheable = True

    def __init__(self, facts: SentenceFacts, context: TaskContext) -> None:
        self._facts = facts
        self._context = context
        self._data: Path | None = None
        self._labels = _labels_of(facts)
        self._files = SplitFiles(
            owner=self._owner,
            roles={name: file.role for name, file in facts.splits.items()},
            paths={name: file.paths for name, file in facts.splits.items()},
        )

    @property
    def splits(self) -> Mapping[str, Role]:
        """Its splits and what each is for."""
        return self._files.roles

    def files(self, data: Path, split: str) -> tuple[Path, ...]:
        """The file of a split, whether it exists or not.

        Raises:
            DataError: If the task has no such split.
        """
        return (self._files.path(data, split),)

    def setup(self, data: Path) -> TaskInfo:
        """Bind the task to a data folder.

        Returns:
            Label names or value range, which do not depend on the data.

        Raises:
            DataError: If the train file or a dev file is missing or cannot be read.
        """
        self._files.found(data, self._files.needed())
        self._data = data
        train = [self._files.path(data, "train")] if "train" in self.splits else []
        return TaskInfo(
            labels=self._facts.labels,
            value_range=self._facts.value_range,
            fingerprint=fingerprint(_VERSION, {"task": self._facts.name}, train),
        )

    def read(self, split: str) -> SentenceExamples:
        """Examples of a split, in file order, malformed train and dev rows left out.

        Raises:
            DataError: If the file is missing, empty, or malformed beyond what is tolerated.
            ValueError: If ``setup`` was not called.
        """
        if self._data is None:
            raise ValueError("call setup(data) before reading a split")
        (path,) = self._files.found(self._data, [split])
        file = self._facts.splits[split]
        wanted = [*file.texts, *(column for column in (file.label, file.id) if column is not None)]
        cells = read_columns(path, wanted, num_columns=file.num_columns)
        if file.label is not None:
            cells = drop_rows(cells, self._labels.problems(cells.columns[file.label]))
        is_test = file.role == "test"
        hint = _TEST_HINT if is_test else _STRICT_HINT
        report_malformed(path, cells, strict=is_test or self._context.strict_data, hint=hint)
        return self._examples(file, cells)

    def example(self, fields: Mapping[str, Any]) -> Example:
        """An example without label from named fields.

        Args:
            fields: The texts by the column names of the task's files, or as ``text`` and
                ``text_pair``; and, if known, ``index`` or ``id`` (the first wins). Others are
                ignored.

        Raises:
            DataError: If a text is missing, given twice, or no text.
        """
        number = fields.get("index", fields.get("id", ""))
        texts = tuple(self._text(fields, place) for place in range(self._num_texts))
        return {"id": str(number), "texts": texts}

    def features(
        self, examples: Sequence[Example], info: TaskInfo, draws: Sequence[Generator] = ()
    ) -> Sequence[Feature]:
        """One feature per example.

        Args:
            examples: Examples of one split, all with a label or all without.
            info: Label names or value range.
            draws: Not used: nothing is random.

        Returns:
            A ``FeatureTable``; the target ``labels`` is the index into ``info.labels``, int64, or
            the value scaled to [0, 1], float32; there is none for examples without label.

        Raises:
            DataError: If a label is not among ``info.labels``.
        """
        del draws
        columns = SentenceExamples.of(examples)
        targets: Mapping[str, np.ndarray] = {}
        if columns.labels is not None:
            targets = {"labels": self._labels.encode(columns.labels, info)}
        starts = range(0, len(columns), _CHUNK)
        tables = [self._table(columns, slice(start, start + _CHUNK), targets) for start in starts]
        return FeatureTable.concatenate(tables) if tables else FeatureTable.from_features(())

    def calibrate(self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo) -> TaskInfo:
        """``info`` unchanged: there is nothing to tune."""
        del examples, outputs
        return info

    def predict(
        self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo
    ) -> list[Prediction]:
        """The most probable label with all probabilities, or the value in ``info.value_range``."""
        ids = SentenceExamples.of(examples).ids
        if len(ids) != len(outputs):
            raise ValueError(f"{len(outputs)} outputs for {len(ids)} examples")
        if not ids:
            return []
        answers = self._labels.decode([arrays for ((_, arrays),) in outputs], info)
        return [{"id": id, **answer} for id, answer in zip(ids, answers, strict=True)]

    def score(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Mapping[str, float]:
        """Every metric of a dev split, over the whole of it.

        Raises:
            DataError: If the examples have no labels.
        """
        labels = SentenceExamples.of(examples).labels
        if labels is None:
            raise DataError(f'{self._owner}: split "{split}" has no labels to score against')
        answers = [prediction[self._labels.key] for prediction in predictions]
        return self._scores(labels, answers)

    def baseline(self, examples: Sequence[Example]) -> Mapping[str, float]:
        """The same metrics for one answer to everything.

        That answer is the most frequent label of these very examples (on a tie the one that
        comes first in the task's order), or their mean value, whose correlations are 0.

        Raises:
            DataError: If the examples have no labels.
        """
        labels = SentenceExamples.of(examples).labels
        if labels is None:
            raise DataError(f"{self._owner}: examples without labels have no baseline")
        return self._scores(labels, [self._labels.usual(labels)] * len(labels))

    def write(
        self,
        split: str,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        folder: Path,
    ) -> list[Path]:
        """Write GLUE's submission file: ``index`` and ``prediction``, one row per test row.

        A dev split is written in the same form, as ``TASK.SPLIT.tsv``.

        Raises:
            DataError: If the predictions are not those of the whole split in file order, or the
                file cannot be written.
        """
        require_complete(self._owner, split, self._expected(examples, split), predictions)
        name = self._facts.submissions.get(split, f"{self._context.id}.{split}.tsv")
        text = "".join(f"{line}\n" for line in submission_lines(predictions))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{folder}: cannot be made: {error.strerror or error}") from error
        replace_text(folder / name, text)
        return [folder / name]

    @property
    def _owner(self) -> str:
        return f'task "{self._context.id}"'

    @property
    def _num_texts(self) -> int:
        return len(next(iter(self._facts.splits.values())).texts)

    def _examples(self, file: SplitFile, cells: Cells) -> SentenceExamples:
        ids = (
            [str(line - cells.first_line) for line in cells.lines.tolist()]
            if file.id is None
            else cells.columns[file.id]
        )
        texts = tuple(cells.columns[column] for column in file.texts)
        labels = None if file.label is None else self._labels.parse(cells.columns[file.label])
        return SentenceExamples(ids, texts, labels)

    def _text(self, fields: Mapping[str, Any], place: int) -> str:
        names = self._facts.fields[place]
        given = {name: fields[name] for name in names if name in fields}
        which = ("the text", "the second text")[place]
        if not given:
            found = ", ".join(f'"{name}"' for name in fields) or "nothing"
            raise DataError(
                f"{self._owner}: {which} is missing\n  given: {found}"
                f"\n  accepted: {_alternatives(names)}"
            )
        if len(set(map(repr, given.values()))) > 1:
            raise DataError(f"{self._owner}: {which} is given twice: as {_alternatives(given)}")
        name, text = next(iter(given.items()))
        if not isinstance(text, str):
            raise DataError(f'{self._owner}: "{name}" must be text, not {type(text).__name__}')
        return text

    def _table(
        self, columns: SentenceExamples, chunk: slice, targets: Mapping[str, np.ndarray]
    ) -> FeatureTable:
        tokenizer = self._context.tokenizer
        pieces = [tokenizer.texts(texts[chunk]) for texts in columns.texts]
        rows = tokenizer.rows(
            pieces[0],
            pieces[1] if len(pieces) > 1 else None,
            max_length=self._context.max_length,
        )
        return FeatureTable.from_rows(
            rows,
            {name: values[chunk] for name, values in targets.items()},
            np.arange(len(columns))[chunk],
        )

    def _scores(self, labels: Sequence[Label], answers: Sequence[Label]) -> dict[str, float]:
        metrics = self._context.metrics
        return {name: metrics[name](labels, answers) for name in self._facts.metrics}

    def _expected(self, examples: Sequence[Example], split: str) -> Sequence[str]:
        """Ids of the whole split; those of the examples where no data is bound."""
        return SentenceExamples.of(examples).ids if self._data is None else self.read(split).ids


def _labels_of(facts: SentenceFacts) -> LabelKind:
    if facts.value_range is not None:
        return ValueLabels(*facts.value_range)
    return ClassLabels(facts.labels or ())


def _alternatives(names: Iterable[str]) -> str:
    return " or ".join(f'"{name}"' for name in names)
