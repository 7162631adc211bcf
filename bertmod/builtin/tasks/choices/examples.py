"""Contexts with choices, kept in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from bertmod import Example


@dataclass(frozen=True)
class ChoiceExamples(Sequence[Example]):
    """Examples that become mappings only when they are looked at.

    Attributes:
        ids: One id per example.
        contexts: What every choice of an example follows.
        questions: What stands before each choice, one per example; empty text for nothing.
        choices: Choices of each example, two or more.
        labels: Index of the right choice, one per example; None for a split without labels.
    """

    ids: Sequence[str]
    contexts: Sequence[str]
    questions: Sequence[str]
    choices: Sequence[Sequence[str]]
    labels: Sequence[int] | None = None

    @classmethod
    def of(cls, examples: Sequence[Example]) -> ChoiceExamples:
        """The same examples in columns.

        Raises:
            ValueError: If some have a label and some have none.
        """
        if isinstance(examples, ChoiceExamples):
            return examples
        labelled = {"label" in example for example in examples}
        if len(labelled) > 1:
            raise ValueError("examples of one batch all have a label or none has")
        return cls(
            ids=[example["id"] for example in examples],
            contexts=[example["context"] for example in examples],
            questions=[example.get("question", "") for example in examples],
            choices=[example["choices"] for example in examples],
            labels=[example["label"] for example in examples] if labelled == {True} else None,
        )

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> ChoiceExamples: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | ChoiceExamples:
        if isinstance(index, slice):
            return ChoiceExamples(
                self.ids[index],
                self.contexts[index],
                self.questions[index],
                self.choices[index],
                None if self.labels is None else self.labels[index],
            )
        example: dict[str, Any] = {"id": self.ids[index], "context": self.contexts[index]}
        if self.questions[index]:
            example["question"] = self.questions[index]
        example["choices"] = self.choices[index]
        return example if self.labels is None else {**example, "label": self.labels[index]}

    def seconds(self) -> list[str]:
        """The second text of every row: each choice behind its example's question."""
        return [
            f"{question} {choice}" if question else choice
            for question, choices in zip(self.questions, self.choices, strict=True)
            for choice in choices
        ]
