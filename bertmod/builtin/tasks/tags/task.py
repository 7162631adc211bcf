"""Tasks that tag words."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bertmod import DataError, Example, Feature, Prediction, Role, TaskContext, TaskInfo
from bertmod.builtin.tasks.by_hand import id_of, quoted
from bertmod.builtin.tasks.split_files import (
    SplitFiles,
    fingerprint,
    require_complete,
    with_outputs,
)
from bertmod.builtin.tasks.tags import schemes as tag_schemes
from bertmod.builtin.tasks.tags.answers import tag_answer
from bertmod.builtin.tasks.tags.config import TaggingConfig, metric_names
from bertmod.builtin.tasks.tags.examples import TagExamples, listed_words
from bertmod.builtin.tasks.tags.features import tag_features
from bertmod.builtin.tasks.tags.schemes import Scheme
from bertmod.data.table_files import TABLE_SUFFIXES
from bertmod.data.tables import write_text
from bertmod.metrics.entities import entity_counts, entity_scores

if TYPE_CHECKING:
    from numpy.random import Generator

    from bertmod.contracts.task import Outputs

_VERSION = 1  # part of the fingerprint: raise it when the same files give other examples
_log = logging.getLogger("bertmod")


class TagFiles(Protocol):
    """How files of tagged sentences are read and written.

    Attributes:
        suffix: End of the names of files written.
    """

    @property
    def suffix(self) -> str: ...

    def read(self, path: Path, role: Role, *, tagged: bool) -> TagExamples:
        """Sentences of a file.

        Args:
            path: The file.
            role: What they are for; of a test file none is left out.
            tagged: Whether its tags are read, as they stand there; those of a test file only if it
                has any.

        Raises:
            DataError: If the file is missing, empty or malformed.
        """
        ...

    def text(self, examples: TagExamples, tags: Sequence[Sequence[str]]) -> str:
        """A file with predicted tags beside the words.

        Args:
            examples: The sentences of a whole file, or sentences that were read from none.
            tags: Predicted tags of each, in the file's own scheme.
        """
        ...


class TaggingTask:
    """A tag for every word.

    Examples are ``{"id", "words", "tags"}``: the id is the number of the sentence from 0, as
    text; tags of entities are IOB2 whatever the file has; an example made from raw text has
    ``text`` and the words' ``offsets`` in it. Predictions are ``{"id", "words", "tags",
    "probabilities", "entities"}``.

    Args:
        config: Options.
        context: Tokenizer and longest row.
        splits: Where the splits lie.
        files: How they are read and written.
    """

    cacheable = True

    def __init__(
        self, config: TaggingConfig, context: TaskContext, *, splits: SplitFiles, files: TagFiles
    ) -> None:
        self._config, self._context = config, context
        self._splits, self._files = splits, files
        self._data: Path | None = None
        self._scheme: Scheme = "iob2" if config.scheme == "auto" else config.scheme

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
        """Bind the task to a data folder, and find labels and scheme in its training data.

        Returns:
            The labels, and how many words of the training data have each; where another task's
            head answers, only what is stated.

        Raises:
            DataError: If a train or dev file is missing or malformed, or all words have one tag.
        """
        found = self._splits.needed(data, self._context)
        self._data = data
        if not found:
            return TaskInfo(labels=self._config.labels)
        path = next(iter(found.values()))
        role: Role = "train" if "train" in found else "dev"
        examples = self._files.read(path, role, tagged=True)
        self._require_tags(examples)
        if self._config.scheme == "auto":
            self._scheme = _detected(examples)
            _log.info("%s: %s has %s tags", self._splits.owner, path, self._scheme.upper())
        if role != "train":
            return TaskInfo(labels=self._config.labels)
        counts = Counter(chain.from_iterable(self._converted(examples).tags or ()))
        if len(counts) < 2:
            raise DataError(f'{path}: every word has the tag "{min(counts)}": nothing to learn')
        labels = self._config.labels or tag_schemes.ordered(counts, self._scheme)
        options = self._config.model_dump(mode="json", exclude={"train", "dev", "test"})
        return TaskInfo(
            labels=labels,
            fingerprint=fingerprint(_VERSION, options, found),
            label_counts=tuple(counts[label] for label in labels),
        )

    def read(self, split: str) -> TagExamples:
        """Sentences of a split, in file order; a test split has tags if its file has.

        Raises:
            DataError: If the file is missing, empty or malformed.
            ValueError: If ``setup`` was not called.
        """
        path = self._splits.existing(self._data, split)
        examples = self._files.read(path, self._splits.roles[split], tagged=True)
        self._require_tags(examples)
        return self._converted(examples)

    def examples(self, path: Path) -> TagExamples | None:
        """Sentences of a file in the form of the task's own; tags are not looked at.

        Returns:
            The sentences; None for a table where the task's own files are none.

        Raises:
            DataError: If the file cannot be read or is malformed.
        """
        if path.suffix.lower() in TABLE_SUFFIXES and self._files.suffix not in TABLE_SUFFIXES:
            return None
        return self._files.read(path, "test", tagged=False)

    def example(self, fields: Mapping[str, Any]) -> Example:
        """An example without tags from named fields.

        Args:
            fields: ``words`` or ``tokens``: a list of text, or text with spaces between the
                words; or ``text``: raw text, whose words end at spaces and around punctuation;
                and, if known, ``index`` or ``id`` (the first wins). Others are ignored.

        Raises:
            DataError: If there are no words, or they are given twice.
        """
        number = id_of(fields)
        given = [name for name in ("words", "tokens", "text") if name in fields]
        accepted = 'accepted: "words" or "tokens", a list of text, or "text", raw text'
        if len(given) != 1:
            found = quoted(given or fields)
            what = "the words are given twice" if given else "the words are missing"
            raise DataError(f"{self._splits.owner}: {what}\n  given: {found}\n  {accepted}")
        value = fields[given[0]]
        if given == ["text"] and isinstance(value, str):
            return {"id": number, **self._cut(value)}
        words = listed_words(value)
        if words is None or given == ["text"]:
            raise DataError(f'{self._splits.owner}: "{given[0]}" has no words in it\n  {accepted}')
        return {"id": number, "words": words}

    def features(
        self, examples: Sequence[Example], info: TaskInfo, draws: Sequence[Generator] = ()
    ) -> Sequence[Feature]:
        """A feature per sentence, or per window of a long one, as ``tag_features`` makes them.

        Raises:
            DataError: If a tag is not among ``info.labels``.
        """
        del draws
        sentences = TagExamples.of(examples)
        return tag_features(
            sentences.words,
            None if sentences.tags is None else sentences.codes(info.labels or ()),
            self._context.tokenizer,
            max_length=self._context.max_length,
            stride=self._config.doc_stride,
        )

    def calibrate(self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo) -> TaskInfo:
        """``info`` unchanged: there is nothing to tune."""
        del examples, outputs
        return info

    def predict(
        self, examples: Sequence[Example], outputs: Outputs, info: TaskInfo
    ) -> list[Prediction]:
        """The most probable tag of each word with its probability, and the entities they make.

        A word of which the tokenizer leaves nothing has the tag ``O``, or the most frequent one
        where there is no ``O``, with probability 1. An entity is as probable as its least
        probable tag; its ``start`` and ``end`` count characters of the text it was made from, or
        of the words with single spaces between them.
        """
        parts = self._config.scheme != "none"
        return [
            tag_answer(example, each, info, parts=parts)
            for example, each in with_outputs(examples, outputs)
        ]

    def score(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Mapping[str, float]:
        """F1, precision and recall of entities, and the share of words with the right tag.

        Raises:
            DataError: If the examples have no tags, or a prediction has not one tag per word.
        """
        return self._scores(self._counts(split, examples, predictions).sum(axis=0))

    def resampler(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> Callable[[np.ndarray], Mapping[str, float]]:
        """The same scores over any choice of sentences, given by their indices."""
        counts = self._counts(split, examples, predictions)
        return lambda indices: self._scores(counts[indices].sum(axis=0))

    def baseline(self, examples: Sequence[Example]) -> Mapping[str, float]:
        """The same metrics where every word gets the most frequent tag of these very examples."""
        tags = TagExamples.of(examples).tags or ()
        counts = Counter(chain.from_iterable(tags))
        usual = min(counts, key=lambda tag: (-counts[tag], tag), default="")
        return self.score("", examples, [{"tags": [usual] * len(each)} for each in tags])

    def write(
        self,
        split: str,
        examples: Sequence[Example],
        predictions: Sequence[Prediction],
        folder: Path,
    ) -> list[Path]:
        """Write the split's file with the predicted tags, in the scheme of the training data.

        The file is called ``TASK.SPLIT.txt``, where the task reads tables ``.jsonl``.

        Raises:
            DataError: If the predictions are not those of the whole split in file order, or the
                file cannot be written.
        """
        bound = self._data is not None
        sentences = self.read(split) if bound else TagExamples.of(examples)
        require_complete(self._splits.owner, split, sentences.ids, predictions)
        self._require_tag_per_word(sentences, predictions)
        tags = [tag_schemes.in_scheme(each["tags"], self._scheme) for each in predictions]
        path = folder / f"{self._context.id}.{split}{self._files.suffix}"
        return [write_text(path, self._files.text(sentences, tags))]

    def _converted(self, examples: TagExamples) -> TagExamples:
        """Sentences with the tags that are learnt: entities as in IOB2."""
        if self._config.scheme == "none" or examples.tags is None:
            return examples
        return replace(examples, tags=[tag_schemes.iob2(tags) for tags in examples.tags])

    def _require_tags(self, examples: TagExamples) -> None:
        """Refuse tags that are no parts of entities, or break a stated scheme."""
        if self._config.scheme == "none":
            return
        for sentence, tags in enumerate(examples.tags or ()):
            odd = next((i for i, tag in enumerate(tags) if not tag_schemes.is_tag(tag)), None)
            if odd is not None:
                raise DataError(
                    f'{examples.place(sentence, odd)}: "{tags[odd]}" is no tag of an entity'
                    '\n  accepted: "O", and "B-" or "I-" with a type behind it'
                    '\n  for tags that are no parts of entities: "scheme": "none"'
                )
            odd = tag_schemes.begins_inside(tags) if self._config.scheme == "iob2" else None
            if odd is not None:
                raise DataError(
                    f'{examples.place(sentence, odd)}: "{tags[odd]}" begins an entity, '
                    'which only "B-" does in IOB2\n  "scheme": "auto" reads both'
                )

    def _counts(
        self, split: str, examples: Sequence[Example], predictions: Sequence[Prediction]
    ) -> np.ndarray:
        """Right words, words, and the counts of entities of each sentence, (sentences, 5)."""
        sentences = TagExamples.of(examples)
        if sentences.tags is None:
            raise DataError(f'{self._splits.owner}: split "{split}" has no tags to score against')
        self._require_tag_per_word(sentences, predictions)
        given = [prediction["tags"] for prediction in predictions]
        words = [
            (sum(map(str.__eq__, right, tags)), len(right))
            for right, tags in zip(sentences.tags, given, strict=True)
        ]
        counts = np.array(words, np.int64).reshape(-1, 2)
        if self._config.scheme == "none":
            return counts
        return np.hstack((counts, entity_counts(sentences.tags, given)))

    def _require_tag_per_word(
        self, sentences: TagExamples, predictions: Sequence[Prediction]
    ) -> None:
        for number, (words, each) in enumerate(zip(sentences.words, predictions, strict=True)):
            if len(words) != len(each["tags"]):
                what = f"{len(each['tags'])} tags for {len(words)} words"
                named = f'example "{sentences.ids[number]}"'
                raise DataError(f"{self._splits.owner}, {named}: {what}")

    def _scores(self, counts: np.ndarray) -> dict[str, float]:
        """Scores of summed counts, in the order of the task's metrics."""
        right, words = counts[:2].tolist()
        found = {"accuracy": right / words if words else 0.0}
        if self._config.scheme != "none":
            found |= entity_scores(counts[2:])
        return {name: found[name] for name in metric_names(self._config)}

    def _cut(self, text: str) -> dict[str, Any]:
        """The words of raw text and their places in it."""
        pieces = self._context.tokenizer.texts([text])
        words = pieces.words.tolist()
        starts: dict[int, int] = {}
        ends: dict[int, int] = {}
        for word, (start, end) in zip(words, pieces.offsets.tolist(), strict=True):
            starts.setdefault(word, start)
            ends[word] = end
        offsets = [[starts[word], ends[word]] for word in starts]
        return {
            "words": [text[start:end] for start, end in offsets],
            "text": text,
            "offsets": offsets,
        }


def _detected(examples: TagExamples) -> Scheme:
    """IOB1 if an entity begins with ``I-`` somewhere, else IOB2."""
    plain = any(tag_schemes.begins_inside(tags) is not None for tags in examples.tags or ())
    return "iob1" if plain else "iob2"
