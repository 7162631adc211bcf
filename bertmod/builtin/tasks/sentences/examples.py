"""Examples of one or two texts, kept in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from bertmod import Example

Label = str | float | list[str]


@dataclass(frozen=True)
class SentenceExamples(Sequence[Example]):
    """Examples that become mappings only when they are looked at.

    Attributes:
        ids: One id per example.
        texts: The first texts and, for pairs, the second texts, one per example.
        labels: Label names, values or lists of names, one per example; None for a split
            without labels.
    """

    ids: Sequence[str]
    texts: tuple[Sequence[str], ...]
    labels: Sequence[Label] | None

    @classmethod
    def of(cls, examples: Sequence[Example]) -> SentenceExamples:
        """The same examples in columns.

        Raises:
            ValueError: If some have a label and some have none, or one has more texts than others.
        """
        if isinstance(examples, SentenceExamples):
            return examples
        labelled = {"label" in example for example in examples}
        widths = {len(example["texts"]) for example in examples}
        if len(labelled) > 1 or len(widths) > 1:
            raise ValueError("examples of one batch have as many texts each, all a label or none")
        return cls(
            ids=[example["id"] for example in examples],
            texts=tuple(zip(*(example["texts"] for example in examples), strict=True)),
            labels=[example["label"] for example in examples] if labelled == {True} else None,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> SentenceExamples: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | SentenceExamples:
        if isinstance(index, slice):
            texts = tuple(column[index] for column in self.texts)
            labels = None if self.labels is None else self.labels[index]
            return SentenceExamples(self.ids[index], texts, labels)
        example = {"id": self.ids[index], "texts": tuple(column[index] for column in self.texts)}
        return example if self.labels is None else {**example, "label": self.labels[index]}
