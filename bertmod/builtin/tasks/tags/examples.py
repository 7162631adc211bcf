"""Sentences of words with tags, kept together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, overload

import numpy as np

from bertmod import DataError, Example


@dataclass(frozen=True)
class TagExamples(Sequence[Example]):
    """Sentences that become mappings only when they are looked at.

    Attributes:
        ids: One id per sentence.
        words: Words of each sentence.
        tags: One tag per word; None for sentences without tags.
        path: The file they were read from, for messages; None if from none.
        lines: Where in the file each sentence begins, from 1.
        unit: What ``lines`` counts: ``line`` or ``row``.
        line_per_word: Whether the words of a sentence stand on lines of their own.
    """

    ids: Sequence[str]
    words: Sequence[Sequence[str]]
    tags: Sequence[Sequence[str]] | None = None
    path: Path | None = None
    lines: Sequence[int] = ()
    unit: str = "line"
    line_per_word: bool = False

    @classmethod
    def of(cls, examples: Sequence[Example]) -> TagExamples:
        """The same examples in columns.

        Raises:
            ValueError: If some have tags and some have none.
        """
        if isinstance(examples, TagExamples):
            return examples
        tagged = {"tags" in example for example in examples}
        if len(tagged) > 1:
            raise ValueError("examples of one batch all have tags or none has")
        return cls(
            ids=[example["id"] for example in examples],
            words=[example["words"] for example in examples],
            tags=[example["tags"] for example in examples] if tagged == {True} else None,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> TagExamples: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | TagExamples:
        if isinstance(index, slice):
            return replace(
                self,
                ids=self.ids[index],
                words=self.words[index],
                tags=None if self.tags is None else self.tags[index],
                lines=self.lines[index],
            )
        example = {"id": self.ids[index], "words": self.words[index]}
        return example if self.tags is None else {**example, "tags": self.tags[index]}

    def place(self, sentence: int, word: int) -> str:
        """Where a word stands, for messages."""
        if self.path is None:
            return f'example "{self.ids[sentence]}", word {word}'
        line = self.lines[sentence] + (word if self.line_per_word else 0)
        return f"{self.path}, {self.unit} {line}"

    def codes(self, labels: Sequence[str]) -> np.ndarray:
        """Index of each tag in ``labels``, all sentences one behind another, (words,), int64.

        Raises:
            DataError: If a tag is not among them; the message says where it stands.
        """
        known = {label: code for code, label in enumerate(labels)}
        tags = self.tags or ()
        for sentence, row in enumerate(tags):
            for word, tag in enumerate(row):
                if tag not in known:
                    raise DataError(
                        f'{self.place(sentence, word)}: unknown tag "{tag}"'
                        f"\n  the labels are: {', '.join(labels)}"
                        '\n  correct it, or state every tag with "labels"'
                    )
        return np.fromiter((known[tag] for tag in chain.from_iterable(tags)), np.int64)


def listed_words(value: Any) -> list[str] | None:
    """Words from a list of text, or from text with spaces between them; None if it has none."""
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not words:
        return None
    return list(words) if all(isinstance(word, str) and word for word in words) else None
