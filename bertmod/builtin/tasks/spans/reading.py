"""SQuAD's files to examples."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertmod import DataError, Example, Role
from bertmod.builtin.tasks.spans.words import Words, locate, why_lost
from bertmod.data.columns import report_left_out
from bertmod.data.json_nodes import Node, read_json

_FORM = "a SQuAD file"

_NOT_SECOND = (
    'no question says "is_impossible", so that each has an answer\n'
    '  if the file is one of version 1.1, set the task\'s version to "1.1"'
)

_log = logging.getLogger("bertmod")


@dataclass
class Questions:
    """Questions of one file while they are collected.

    Attributes:
        path: The file.
        examples: The questions kept.
        lost: What is wrong with those left out.
    """

    path: Path
    examples: list[Example] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    _places: dict[str, str] = field(default_factory=dict)

    def add(self, example: Example, place: str, *, words: Words | None) -> None:
        """Keep a question.

        Args:
            example: The question.
            place: Where it stands in the file.
            words: Words of its context: it is kept only if its answer is found among them. None
                keeps it whatever its answers are.

        Raises:
            DataError: If another has the same id.
        """
        id_ = example["id"]
        if id_ in self._places:
            where = f"{self._places[id_]} and {place}"
            raise DataError(f'{self.path}: two questions have the id "{id_}": {where}')
        self._places[id_] = place
        if words is not None and example["answers"]:
            (answer,) = example["answers"]
            if locate(words, example["context"], answer) is None:
                self.lost.append(f'question "{id_}": {why_lost(example["context"], answer)}')
                return
        self.examples.append(example)

    def finished(self, *, strict: bool) -> list[Example]:
        """The questions kept, those left out reported.

        Args:
            strict: Whether one that was left out is an error.

        Raises:
            DataError: If there is none, or if one was left out and ``strict`` is set.
        """
        if not self.examples and not self.lost:
            raise DataError(f"{self.path}: the file has no questions")
        hint = "\n  such questions are left out with a warning unless --strict-data is set"
        report_left_out(
            self.path, self.lost, len(self.examples), of="question", strict=strict, hint=hint
        )
        return self.examples


@dataclass(frozen=True)
class SquadReader:
    """Reads SQuAD's JSON.

    Attributes:
        no_answers: Whether some questions have no answer, as in version 2.0.
        strict: Whether a training question whose answer is not found is an error.
    """

    no_answers: bool
    strict: bool = False

    def __call__(self, path: Path, role: Role) -> list[Example]:
        """Examples of a file, in its order.

        Each is ``{"id", "question", "context"}``; unless ``role`` is ``test`` also ``answers``,
        a list of ``{"text", "answer_start"}``, and in version 2.0 ``is_impossible``. A training
        question has exactly one answer or, in version 2.0, none; one whose answer does not stand
        where it should is left out.

        Raises:
            DataError: If the file cannot be read, is not a SQuAD file, belongs to version 2.0
                where 1.1 is stated, or has no question that can be used.
        """
        found, of_second = Questions(path), False
        for article in read_json(path, form=_FORM).list("data"):
            for paragraph in article.list("paragraphs"):
                context = paragraph.text("context")
                words = Words(context) if role == "train" else None
                for question in paragraph.list("qas"):
                    example = self._example(question, context, role)
                    found.add(example, question.place, words=words)
                    of_second = of_second or question.has("is_impossible")
        if self.no_answers and role == "train" and not of_second:
            _log.warning("%s: %s", path, _NOT_SECOND)
        return found.finished(strict=self.strict)

    def _example(self, node: Node, context: str, role: Role) -> Example:
        example = {"id": node.text("id"), "question": node.text("question"), "context": context}
        if role == "test":
            return example
        name, impossible = f'question "{example["id"]}"', node.flag("is_impossible")
        if impossible and not self.no_answers:
            raise node.wrong(
                f'{name} has no answer ("is_impossible"), which version 1.1 does not know\n'
                '  set the task\'s version to "2.0"'
            )
        # What annotators gave for an impossible question is no answer to it.
        answers = [] if impossible else [_answer(answer) for answer in node.list("answers")]
        if role == "train" and len(answers) > 1:
            what = f"{name} has {len(answers)} answers; a training question has exactly one"
            raise node.wrong(f"{what}\n  keep one of them")
        if not answers and not impossible and (role == "train" or not self.no_answers):
            remedy = 'version "2.0" knows questions without answer: "is_impossible": true'
            raise node.wrong(f"{name} has no answers\n  {remedy}")
        return {**example, "answers": answers, **self._kind(impossible)}

    def _kind(self, impossible: bool) -> Mapping[str, Any]:
        return {"is_impossible": impossible} if self.no_answers else {}


def golds(examples: Sequence[Example]) -> dict[str, list[str]]:
    """Texts of the right answers of each question by its id; none where it has no answer."""
    return {
        example["id"]: [answer["text"] for answer in example["answers"]] for example in examples
    }


def _answer(node: Node) -> Mapping[str, Any]:
    return {"text": node.text("text"), "answer_start": node.number("answer_start")}
