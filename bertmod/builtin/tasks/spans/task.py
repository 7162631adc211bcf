"""Tasks that find the answer to a question in a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertmod import DataError, Example, Feature, Prediction, Role, TaskContext, TaskInfo
from bertmod.builtin.tasks.by_hand import id_of, text_of
from bertmod.builtin.tasks.spans.answers import AnswerSearch, Decision, answers_as_json
from bertmod.builtin.tasks.spans.config import SpanConfig, SquadConfig, has_no_answers, splits
from bertmod.builtin.tasks.spans.features import require_room, span_features
from bertmod.builtin.tasks.spans.reading import SquadReader, golds
from bertmod.builtin.tasks.spans.scores import QuestionScores
from bertmod.builtin.tasks.spans.writing import write_squad
from bertmod.builtin.tasks.split_files import (
    SplitFiles,
    fingerprint,
    require_complete,
    with_outputs,
)
from bertmod.data.squad_files import usual_paths
from bertmod.data.table_files import TABLE_SUFFIXES
from bertmod.metrics.squad_official import best_threshold

if TYPE_CHECKING:
    from numpy.random import Generator

    from bertmod.contracts.task import Outputs

_VERSION = 1  # part of the fingerprint: raise it when the same files give other examples
_THRESHOLD = "null_threshold"
_QUESTION = ("question", "text")
_CONTEXT = ("context", "passage", "text_pair")


class SpanFiles(NamedTuple):
    """Where a task's questions come from.

    Attributes:
        files: The file of each split.
        read: A file and what it is for to examples as ``SquadReader`` gives them.
        options: What decides, beside the training file, what the training examples are.
        are_tables: Whether the files are tables.
        columns: Further names of ``question`` and ``context`` in an example given by hand.
    """

    files: SplitFiles
    read: Callable[[Path, Role], list[Example]]
    options: Mapping[str, Any]
    are_tables: bool = False
    columns: Mapping[str, str] = MappingProxyType({})


def squad_task(config: SquadConfig, context: TaskContext) -> SpanTask:
    """The task on SQuAD's files.

    Raises:
        DataError: If rows are too short for a question and a text.
    """
    version = config.version
    stated = {"train": config.train, "dev": config.dev, "test": config.test}
    roles = splits(config)
    files = SplitFiles(
        owner=f'task "{context.id}"',
        roles=roles,
        paths={
            name: (path,) if (path := stated[name]) else usual_paths(name, version)
            for name in roles
        },
    )
    no_answers = has_no_answers(config)
    reader = SquadReader(no_answers=no_answers, strict=context.strict_data)
    source = SpanFiles(files, reader, {"version": version})
    return SpanTask(config, context, source, no_answers=no_answers)


class SpanTask:
    """A task whose answers are words of a text.

    Examples are ``{"id", "question", "context"}``, with ``answers`` where they are known: a list
    of ``{"text", "answer_start"}`` in characters of the context. Predictions are ``{"id", "text",
    "probability", "start", "end", "nbest"}``: the characters ``start`` to ``end`` of the context
    hold the answer, both null for none; ``nbest`` has the best answers with their probabilities
    and scores. Where questions may have no answer ``null_odds`` is the score of no answer less
    that of the best one.

    Args:
        config: How windows are laid and answers ranked.
        context: Tokenizer and longest row.
        source: Where the questions come from.
        no_answers: Whether a question may have no answer.

    Raises:
        DataError: If rows are too short for a question and a text.
    """

    cacheable = True

    def __init__(
        self, config: SpanConfig, context: TaskContext, source: SpanFiles, *, no_answers: bool
    ) -> None:
        require_room(context, config)
        self._config, self._context, self._source = config, context, source
        self._no_answers = no_answers
        self._data: Path | None = None

    @property
    def splits(self) -> Mapping[str, Role]:
        """Its splits and what each is for."""
        return self._source.files.roles

    def files(self, data: Path, split: str) -> tuple[Path, ...]:
        """The file of a split, whether it exists or not.

        Raises:
            DataError: If the task has no such split.
        """
        return (self._source.files.path(data, split),)

    def setup(self, data: Path) -> TaskInfo:
        """Bind the task to a data folder.

        Raises:
            DataError: If the train file or the dev file is missing.
        """
        files = self._source.files.needed(data, self._context)
        self._data = data
        return TaskInfo(fingerprint=fingerprint(_VERSION, self._source.options, files))

    def read(self, split: str) -> list[Example]:
        """Examples of a split, in file order.

        Training questions whose answer does not stand where it should are left out.

        Raises:
            DataError: If the file is missing, malformed, or has no question that can be used.
            ValueError: If ``setup`` was not called.
        """
        path = self._source.files.existing(self._data, split)
        return self._source.read(path, self.splits[split])

    def examples(self, path: Path) -> list[Example] | None:
        """Questions of a file of the task's own form, answers not looked at.

        Returns:
            The questions; None for a table whose rows go to ``example``.

        Raises:
            DataError: If it cannot be read or is malformed.
        """
        if path.suffix.lower() in TABLE_SUFFIXES and not self._source.are_tables:
            return None
        return self._source.read(path, "test")

    def example(self, fields: Mapping[str, Any]) -> Example:
        """A question without answers.

        Args:
            fields: ``question`` or ``text``; ``context``, ``passage`` or ``text_pair``; and, if
                known, ``index`` or ``id`` (the first wins). Others are ignored.

        Raises:
            DataError: If a text is missing, given twice, or no text.
        """
        return {
            "id": id_of(fields),
            "question": self._text(fields, "question", _QUESTION, place=0),
            "context": self._text(fields, "context", _CONTEXT, place=1),
        }

    def features(
        self, examples: Sequence[Example], info: TaskInfo, draws: Sequence[Generator] = ()
    ) -> Sequence[Feature]:
        """Windows over the contexts: none, one or more features per question.

        Returns:
            A ``FeatureTable`` as ``span_features`` describes it.
        """
        del info, draws
        return span_features(examples, self._context, self._config)

    def calibrate(self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo) -> TaskInfo:
        """``info`` with the ``null_threshold`` of the best F1, where the options leave it open.

        What is judged is the best answer that has a text, whatever the odds of no answer are.

        Source: Rajpurkar et al. 2018, arXiv:1806.03822, evaluate-v2.0.py.
        """
        if not self._no_answers or self._config.null_threshold is not None or not examples:
            return info
        decisions = self._decide(examples, outputs, most=2)  # no answer and the best one
        texts = [decision.best.text if decision.best else "" for decision in decisions]
        scores = QuestionScores.of(examples, texts, no_answers=True)
        ids = [example["id"] for example in examples]
        odds = [decision.null_odds for decision in decisions]
        _, threshold = best_threshold(
            dict(zip(ids, scores.f1.tolist(), strict=True)),
            golds(examples),
            dict(zip(ids, texts, strict=True)),
            dict(zip(ids, odds, strict=True)),
            nothing=min(odds) - 1.0,
        )
        return replace(info, calibration={**info.calibration, _THRESHOLD: threshold})

    def predict(
        self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo
    ) -> list[Prediction]:
        """The best answer to each question, and those next to it; ``""`` to an empty context."""
        decisions = self._decide(examples, outputs, most=self._config.n_best_size)
        threshold = self._config.null_threshold
        if threshold is None:
            threshold = info.calibration.get(_THRESHOLD, 0.0)
        return [
            {"id": example["id"], **self._answer(decision, threshold)}
            for example, decision in zip(examples, decisions, strict=True)
        ]

    def score(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Mapping[str, float]:
        """F1 and exact match of a dev split, in [0, 1].

        Where questions may have no answer also of those with and without one, 0.0 if there are
        none.

        Raises:
            DataError: If the examples have no answers to score against.
        """
        return self._scores(split, examples, predictions).whole()

    def resampler(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Callable[[np.ndarray], Mapping[str, float]]:
        """A function from numbers of questions to the scores of just these.

        Raises:
            DataError: If the examples have no answers to score against.
        """
        return self._scores(split, examples, predictions).sample

    def baseline(self, examples: Sequence[Example]) -> Mapping[str, float]:
        """The same scores for answering nothing."""
        nothing = [""] * len(examples)
        return QuestionScores.of(examples, nothing, no_answers=self._no_answers).whole()

    def write(
        self,
        split: str,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        folder: Path,
    ) -> list[Path]:
        """Write ``predictions.json`` and ``nbest_predictions.json``.

        Where questions may have no answer ``null_odds.json`` comes with them. The files of a dev
        split are in a folder ``TASK.SPLIT`` of their own.

        Raises:
            DataError: If the predictions are not those of the whole split in file order, or a
                file cannot be written.
        """
        whole = examples if self._data is None else self.read(split)
        require_complete(self._owner, split, [each["id"] for each in whole], predictions)
        if self.splits.get(split, "test") != "test":
            folder = folder / f"{self._context.id}.{split}"
        return write_squad(predictions, folder, no_answers=self._no_answers)

    @property
    def _owner(self) -> str:
        return f'task "{self._context.id}"'

    def _text(
        self, fields: Mapping[str, Any], what: str, names: Sequence[str], *, place: int
    ) -> str:
        column = self._source.columns.get(what, what)
        known = list(dict.fromkeys((column, *names)))
        return text_of(fields, known, owner=self._owner, place=place)

    def _decide(
        self, examples: Sequence[Example], outputs: Outputs, *, most: int
    ) -> list[Decision]:
        search = AnswerSearch(self._context.tokenizer, self._config, no_answers=self._no_answers)
        return [
            search(example, decoded, most=most)
            for example, decoded in with_outputs(examples, outputs)
        ]

    def _answer(self, decision: Decision, threshold: float) -> dict[str, Any]:
        nbest = answers_as_json(decision.ranked)
        place = _chosen(decision, threshold) if self._no_answers else 0
        chosen = decision.ranked[place]
        answer = {
            "text": chosen.text,
            "probability": nbest[place]["probability"],
            "start": chosen.start,
            "end": chosen.end,
        }
        odds = {"null_odds": decision.null_odds} if self._no_answers else {}
        return {**answer, **odds, "nbest": nbest}

    def _scores(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> QuestionScores:
        if not all("answers" in example for example in examples):
            raise DataError(f'{self._owner}: split "{split}" has no answers to score against')
        texts = [prediction["text"] for prediction in predictions]
        return QuestionScores.of(examples, texts, no_answers=self._no_answers)


def _chosen(decision: Decision, threshold: float) -> int:
    """Rank of the best answer with a text, or of no answer where the odds of that are too high."""
    wanted = decision.best if decision.null_odds <= threshold else None
    texts = [entry.text for entry in decision.ranked]
    return texts.index(wanted.text if wanted else "")
