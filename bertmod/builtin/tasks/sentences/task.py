"""Tasks that classify or grade a text or a pair of texts, wherever the texts come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bertmod import DataError, Example, Feature, Prediction, Role, TaskContext, TaskInfo
from bertmod.builtin.tasks.sentences.examples import Label, SentenceExamples
from bertmod.builtin.tasks.sentences.labels import LabelKind
from bertmod.builtin.tasks.split_files import require_complete, with_outputs
from bertmod.data.features import FeatureTable
from bertmod.data.tables import submission_lines, write_text
from bertmod.data.unplaced import unplaced_pieces

if TYPE_CHECKING:
    from numpy.random import Generator

    from bertmod.contracts.task import Outputs

_CHUNK = 16384  # texts handed to the tokenizer at once: bounds its memory


class SentenceSource(Protocol):
    """Where the examples of a task about texts come from.

    Attributes:
        splits: Its splits and what each is for.
        metrics: Metrics of its scored splits, the main one first.
        labels: The kind of its labels; their names may be known only after ``setup``.
    """

    @property
    def splits(self) -> Mapping[str, Role]: ...
    @property
    def metrics(self) -> Sequence[str]: ...
    @property
    def labels(self) -> LabelKind: ...

    def path(self, data: Path, split: str) -> Path:
        """The file of a split, whether it exists or not.

        Raises:
            DataError: If there is no such split.
        """
        ...

    def setup(self, data: Path) -> TaskInfo:
        """Bind it to a data folder and fix label names or value range.

        Raises:
            DataError: If a train or dev file is missing or cannot be read.
        """
        ...

    def read(self, split: str) -> SentenceExamples:
        """Examples of a split, in file order.

        Raises:
            DataError: If the file is missing, empty, or malformed beyond what is tolerated.
            ValueError: If ``setup`` was not called.
        """
        ...

    def example(self, fields: Mapping[str, Any]) -> Example:
        """An example without label from named fields.

        Raises:
            DataError: If a text is missing, given twice, or no text.
        """
        ...

    def examples(self, path: Path) -> Sequence[Example] | None:
        """Examples of a file that is to be answered; None for a table like others.

        Raises:
            DataError: If the file cannot be read or is malformed.
        """
        ...

    def output_name(self, split: str) -> str:
        """Name of the file that predictions of a split are written to."""
        ...


class SentenceTask:
    """A task about a text or a pair of texts.

    Examples are ``{"id", "texts", "label"}``: the id is the file's own index or the number of
    the data row from 0, as text; the label is a label name, a float in ``value_range``, or a list
    of label names. Predictions are ``{"id", "label", "probabilities"}``, ``{"id", "value"}`` or
    ``{"id", "labels", "probabilities"}``.

    Args:
        source: Where its examples come from.
        context: Tokenizer, longest row and metrics.
    """

    cacheable = True

    def __init__(self, source: SentenceSource, context: TaskContext) -> None:
        self._source = source
        self._context = context
        self._bound = False

    @property
    def splits(self) -> Mapping[str, Role]:
        """Its splits and what each is for."""
        return self._source.splits

    def files(self, data: Path, split: str) -> tuple[Path, ...]:
        """The file of a split, whether it exists or not.

        Raises:
            DataError: If the task has no such split.
        """
        return (self._source.path(data, split),)

    def setup(self, data: Path) -> TaskInfo:
        """Bind the task to a data folder and fix its label names or value range.

        Raises:
            DataError: If the train file or a dev file is missing or cannot be read.
        """
        info = self._source.setup(data)
        self._bound = True
        return info

    def read(self, split: str) -> SentenceExamples:
        """Examples of a split, in file order, malformed train and dev rows left out.

        Raises:
            DataError: If the file is missing, empty, or malformed beyond what is tolerated.
            ValueError: If ``setup`` was not called.
        """
        return self._source.read(split)

    def examples(self, path: Path) -> Sequence[Example] | None:
        """Examples of a file that is to be answered, in a form that is the task's own.

        Returns:
            The examples; None for a table whose rows go to ``example``.

        Raises:
            DataError: If the file cannot be read or is malformed.
        """
        return self._source.examples(path)

    def example(self, fields: Mapping[str, Any]) -> Example:
        """An example without label from named fields.

        Args:
            fields: The texts by the column names of the task's files, or as ``text`` and
                ``text_pair``; and, if known, an id. Others are ignored.

        Raises:
            DataError: If a text is missing, given twice, or no text.
        """
        return self._source.example(fields)

    def features(
        self, examples: Sequence[Example], info: TaskInfo, draws: Sequence[Generator] = ()
    ) -> Sequence[Feature]:
        """One feature per example.

        Args:
            examples: Examples of one split, all with a label or all without.
            info: Label names or value range.
            draws: Not used: nothing is random.

        Returns:
            A ``FeatureTable``; the target ``labels`` is the index into ``info.labels``, int64, the
            value scaled to [0, 1], float32, or 0 and 1 for each of ``info.labels``, float32; there
            is none for examples without label.

        Raises:
            DataError: If a label is not among ``info.labels``.
        """
        del draws
        columns = SentenceExamples.of(examples)
        targets: Mapping[str, np.ndarray] = {}
        if columns.labels is not None:
            targets = {"labels": self._source.labels.encode(columns.labels, info)}
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
        """The answer of each example: label or labels with probabilities, or a value."""
        ids = SentenceExamples.of(examples).ids
        decoded = [arrays for _, ((_, arrays),) in with_outputs(ids, outputs)]
        answers = self._source.labels.decode(decoded, info) if decoded else []
        return [{"id": id, **answer} for id, answer in zip(ids, answers, strict=True)]

    def score(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Mapping[str, float]:
        """Every metric of a dev split, over the whole of it.

        Raises:
            DataError: If the examples have no labels.
        """
        return self._scores(*self._pairs(split, examples, predictions))

    def resampler(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Callable[[np.ndarray], Mapping[str, float]]:
        """From row numbers to the metrics of these rows, as ``ResampledTask`` says.

        Raises:
            DataError: If the examples have no labels.
        """
        pairs = self._pairs(split, examples, predictions)
        labels, answers = (np.fromiter(values, object, len(values)) for values in pairs)
        return lambda rows: self._scores(labels[rows].tolist(), answers[rows].tolist())

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
        return self._scores(labels, [self._source.labels.usual(labels)] * len(labels))

    def write(
        self,
        split: str,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        folder: Path,
    ) -> list[Path]:
        """Write ``index`` and ``prediction``, one row per row of the split, as GLUE takes them.

        The file is called ``TASK.SPLIT.tsv``, or as the benchmark calls it.

        Raises:
            DataError: If the predictions are not those of the whole split in file order, or the
                file cannot be written.
        """
        require_complete(self._owner, split, self._expected(examples, split), predictions)
        path = folder / self._source.output_name(split)
        text = "".join(f"{line}\n" for line in submission_lines(predictions))
        return [write_text(path, text)]

    @property
    def _owner(self) -> str:
        return f'task "{self._context.id}"'

    def _table(
        self, columns: SentenceExamples, chunk: slice, targets: Mapping[str, np.ndarray]
    ) -> FeatureTable:
        tokenizer = self._context.tokenizer
        pieces = [unplaced_pieces(tokenizer, texts[chunk]) for texts in columns.texts]
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

    def _pairs(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> tuple[Sequence[Label], Sequence[Label]]:
        """Right and given answers of a split."""
        labels = SentenceExamples.of(examples).labels
        if labels is None:
            raise DataError(f'{self._owner}: split "{split}" has no labels to score against')
        return labels, [prediction[self._source.labels.key] for prediction in predictions]

    def _scores(self, labels: Sequence[Label], answers: Sequence[Label]) -> dict[str, float]:
        metrics = self._context.metrics
        return {name: metrics[name](labels, answers) for name in self._source.metrics}

    def _expected(self, examples: Sequence[Example], split: str) -> Sequence[str]:
        """Ids of the whole split; those of the examples where no data is bound."""
        return self.read(split).ids if self._bound else SentenceExamples.of(examples).ids
