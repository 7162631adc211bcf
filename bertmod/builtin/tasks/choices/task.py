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
from bertmod.builtin.tasks.split_files import SplitFiles, fingerprint, require_complete
from bertmod.data.features import Column, FeatureTable, take_ragged
from bertmod.data.tables import make_folder, replace_text, submission_lines

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
        test_has_labels: Whether the test table has labels, too.
    """

    cacheable = True

    def __init__(
        self,
        context: TaskContext,
        *,
        splits: SplitFiles,
        tables: ChoiceTables,
        options: Mapping[str, Any],
        test_has_labels: bool = False,
    ) -> None:
        self._context, self._splits, self._tables = context, splits, tables
        self._options, self._test_has_labels = options, test_has_labels
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
        needed = self._splits.needed(trains=self._context.trains)
        found = dict(zip(needed, self._splits.found(data, needed), strict=True))
        self._data = data
        train = [found["train"]] if "train" in found else []
        return TaskInfo(fingerprint=fingerprint(_VERSION, self._options, train))

    def read(self, split: str) -> ChoiceExamples:
        """Examples of a split, in file order; a test split has labels where that is stated.

        Raises:
            DataError: If the file is missing, empty or malformed.
            ValueError: If ``setup`` was not called.
        """
        if self._data is None:
            raise ValueError("call setup(data) before reading a split")
        (path,) = self._splits.found(self._data, [split])
        role = self._splits.roles[split]
        return self._tables.read(path, role, labelled=role != "test" or self._test_has_labels)

    def example(self, fields: Mapping[str, Any]) -> Example:
        """An example without label from named fields.

        Args:
            fields: ``context`` or ``text``, perhaps ``question`` or ``text_pair``, and
                ``choices``, a list of text; or the same by the columns of the task's tables; and,
                if known, ``index`` or ``id`` (the first wins). Others are ignored.

        Raises:
            DataError: If one is missing or no text.
        """
        number = str(fields.get("index", fields.get("id", "")))
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
        if len(examples) != len(outputs):
            raise ValueError(f"{len(outputs)} outputs for {len(examples)} examples")
        found: list[Prediction] = []
        for example, ((_, arrays),) in zip(examples, outputs, strict=True):
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

        The file has the name of the task, for a dev split with the split's behind it.

        Raises:
            DataError: If the predictions are not those of the whole split in file order, or the
                file cannot be written.
        """
        whole = self.read(split) if self._data is not None else ChoiceExamples.of(examples)
        require_complete(self._splits.owner, split, whole.ids, predictions)
        middle = "" if self._splits.roles[split] == "test" else f".{split}"
        path = folder / f"{self._context.id}{middle}.tsv"
        text = "".join(f"{line}\n" for line in submission_lines(predictions))
        make_folder(folder)
        replace_text(path, text)
        return [path]

    def _table(self, columns: ChoiceExamples, start: int) -> FeatureTable:
        """Features of a chunk of the examples."""
        chunk = columns[start : start + _CHUNK]
        counts = np.array([len(choices) for choices in chunk.choices])
        tokenizer = self._context.tokenizer
        contexts = _repeated(tokenizer.texts(chunk.contexts), counts)
        rows = tokenizer.rows(
            contexts, tokenizer.texts(chunk.seconds()), max_length=self._context.max_length
        )
        table = replace(
            FeatureTable.from_rows(rows),
            example=np.arange(start, start + len(chunk)),
            row_bounds=np.concatenate(([0], np.cumsum(counts))),
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
    texts = np.repeat(np.arange(len(pieces)), counts)
    ids, bounds = take_ragged(pieces.ids, pieces.bounds, texts)
    offsets, _ = take_ragged(pieces.offsets, pieces.bounds, texts)
    words, _ = take_ragged(pieces.words, pieces.bounds, texts)
    return PieceTable(ids, offsets, words, bounds)
