"""Tasks that choose one of several texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertmod import (
    DataError,
    Example,
    Feature,
    PieceTable,
    Prediction,
    Role,
    TaskContext,
    TaskInfo,
)
from bertmod.builtin.tasks.choices.examples import ChoiceExamples
from bertmod.builtin.tasks.choices.tables import ChoiceTables
from bertmod.builtin.tasks.split_files import (
    SplitFiles,
    fingerprint,
    require_complete,
    with_outputs,
)
from bertmod.data.features import Column, FeatureTable
from bertmod.data.ragged import bounds_of, take_pieces
from bertmod.data.tables import submission_lines, write_text
from bertmod.data.unplaced import unplaced_pieces

if TYPE_CHECKING:
    from numpy.random import Generator

    from bertmod.contracts.task import Outputs

_VERSION = 1  # part of the fingerprint: raise it when the same files give other examples
_CHUNK = 8192  # examples handed to the tokenizer at once: bounds its memory


class ChoiceTask:
    """Which choice goes on where the context ends?

    Examples are ``{"id", "context", "question", "choices", "label"}``: the id is the number of
    the row from 0, as text; a question, where there is one, stands before each choice; the label
    is the number of the right choice from 0. Predictions are ``{"id", "choice", "text",
    "probabilities"}``.

    Args:
        context: Tokenizer, longest row and metrics.
        splits: Where the splits lie.
        tables: How they are read.
        options: What else the training data is made by, JSON values.
    """

    cacheable = True

    def __init__(
        self,
        context: TaskContext,
        *,
        splits: SplitFiles,
        tables: ChoiceTables,
        options: Mapping[str, Any],
    ) -> None:
        self._context, self._splits, self._tables = context, splits, tables
        self._options = options
        self._data: Path | None = None

    @property
    def splits(self) -> Mapping[str, Role]:
        """Its splits and what each is for."""
        return self._splits.roles

    def files(self, data: Path, split: str) -> tuple[Path, ...]:
        """The file of a split, whether it exists or not.

        Raises:
            DataError: If the task has no such split.
        """
        return (self._splits.path(data, split),)

    def setup(self, data: Path) -> TaskInfo:
        """Bind the task to a data folder; it has no label names.

        Raises:
            DataError: If a train or dev file is missing.
        """
        files = self._splits.needed(data, self._context)
        self._data = data
        return TaskInfo(fingerprint=fingerprint(_VERSION, self._options, files))

    def read(self, split: str) -> ChoiceExamples:
        """Examples of a split, in file order; a test split has labels if its file has.

        Raises:
            DataError: If the file is missing, empty or malformed.
            ValueError: If ``setup`` was not called.
        """
        path = self._splits.existing(self._data, split)
        return self._tables.read(path, self._splits.roles[split])

    def examples(self, path: Path) -> list[Example] | None:
        """Rows of a table that is written as the options say.

        Returns:
            The examples; None for a table like others, whose rows go to ``example``.

        Raises:
            DataError: If the file cannot be read or is malformed.
        """
        return self._tables.rows.answered(path, self.example)

    def example(self, fields: Mapping[str, Any]) -> Example:
        """An example without label from named fields.

        Args:
            fields: ``context`` or ``text``, perhaps ``question`` or ``text_pair``, and
                ``choices``, a list of text; or the same by the columns of the task's tables; and,
                if known, the column of ids, ``index`` or ``id`` (the first wins). Others are
                ignored.

        Raises:
            DataError: If one is missing or no text.
        """
        number = self._tables.rows.id_of(fields)
        return {"id": number, **self._tables.example(self._splits.owner, fields)}

    def features(
        self, examples: Sequence[Example], info: TaskInfo, draws: Sequence[Generator] = ()
    ) -> Sequence[Feature]:
        """One feature per example, with a row per choice: the context, then the choice.

        The longer text of a row loses pieces from its end. The target ``labels`` is the index of
        the right row, (), int64; there is none for examples without label.
        """
        del info, draws
        columns = ChoiceExamples.of(examples)
        starts = range(0, len(columns), _CHUNK)
        tables = [self._table(columns, start) for start in starts]
        return FeatureTable.concatenate(tables) if tables else FeatureTable.from_features(())

    def calibrate(self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo) -> TaskInfo:
        """``info`` unchanged: there is nothing to tune."""
        del examples, outputs
        return info

    def predict(
        self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo
    ) -> list[Prediction]:
        """The most probable choice, its text, and the probability of each choice."""
        del info
        found: list[Prediction] = []
        for example, ((_, arrays),) in with_outputs(examples, outputs):
            probabilities = arrays["probabilities"].tolist()
            choice = int(arrays["probabilities"].argmax())
            found.append(
                {
                    "id": example["id"],
                    "choice": choice,
                    "text": example["choices"][choice],
                    "probabilities": probabilities,
                }
            )
        return found

    def score(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Mapping[str, float]:
        """The share of examples whose right choice was found.

        Raises:
            DataError: If the examples have no labels.
        """
        labels = self._labels(split, examples)
        given = [prediction["choice"] for prediction in predictions]
        return {"accuracy": self._context.metrics["accuracy"](labels, given)}

    def resampler(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Callable[[np.ndarray], Mapping[str, float]]:
        """From row numbers to the accuracy of these rows, as ``ResampledTask`` says."""
        given = np.array([prediction["choice"] for prediction in predictions])
        right = given == np.array(self._labels(split, examples))
        return lambda rows: {"accuracy": float(right[rows].mean())}

    def baseline(self, examples: Sequence[Example]) -> Mapping[str, float]:
        """The same metric where every answer is the place that is right most often."""
        labels = self._labels("", examples)
        counts = Counter(labels)
        usual = min(counts, key=lambda place: (-counts[place], place), default=0)
        return self.score("", examples, [{"choice": usual}] * len(labels))

    def write(
        self,
        split: str,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        folder: Path,
    ) -> list[Path]:
        """Write ``index`` and ``prediction``, the number of the choice from 0, tab-separated.

        The file is called ``TASK.SPLIT.tsv``.

        Raises:
            DataError: If the predictions are not those of the whole split in file order, or the
                file cannot be written.
        """
        whole = self.read(split) if self._data is not None else ChoiceExamples.of(examples)
        require_complete(self._splits.owner, split, whole.ids, predictions)
        path = folder / f"{self._context.id}.{split}.tsv"
        text = "".join(f"{line}\n" for line in submission_lines(predictions))
        return [write_text(path, text)]

    def _table(self, columns: ChoiceExamples, start: int) -> FeatureTable:
        """Features of a chunk of the examples."""
        chunk = columns[start : start + _CHUNK]
        counts = np.array([len(choices) for choices in chunk.choices])
        tokenizer = self._context.tokenizer
        contexts = _repeated(unplaced_pieces(tokenizer, chunk.contexts), counts)
        seconds = unplaced_pieces(tokenizer, chunk.seconds())
        rows = tokenizer.rows(contexts, seconds, max_length=self._context.max_length)
        bounds = bounds_of(counts)
        table = replace(
            FeatureTable.from_rows(rows),
            example=np.arange(start, start + len(chunk)),
            row_bounds=bounds,
            host={"truncated": Column(np.logical_or.reduceat(rows.truncated, bounds[:-1]))},
        )
        if chunk.labels is None:
            return table
        return replace(table, targets={"labels": Column(np.array(chunk.labels, np.int64))})

    def _labels(self, split: str, examples: Sequence[Example]) -> Sequence[int]:
        labels = ChoiceExamples.of(examples).labels
        if labels is None:
            what = f'split "{split}" has no labels to score against'
            raise DataError(f"{self._splits.owner}: {what}")
        return labels


def _repeated(pieces: PieceTable, counts: np.ndarray) -> PieceTable:
    """Each text as many times as it has choices."""
    starts, lengths = pieces.bounds[:-1], np.diff(pieces.bounds)
    return take_pieces(pieces, np.repeat(starts, counts), np.repeat(lengths, counts))
