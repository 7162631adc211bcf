"""The JSON files that SQuAD's official programs take: questions, predictions and null odds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from bertmod.data.json_nodes import Node, read_json
from bertmod.errors import DataError
from bertmod.wording import counted, listed, shown

Version = Literal["1.1", "2.0"]

VERSIONS: tuple[Version, ...] = get_args(Version)
_FEW = 5  # ids named in a message


@dataclass(frozen=True)
class QuestionFile:
    """A file of questions with their right answers.

    Attributes:
        path: The file.
        version: The version of SQuAD whose rules it is scored by.
        golds: Question id to the texts of its right answers, none for a question without answer.
    """

    path: Path
    version: Version
    golds: Mapping[str, tuple[str, ...]]


def usual_paths(split: str, version: Version) -> tuple[str, ...]:
    """Where the published file of a split may lie in a data folder, the usual place first.

    Args:
        split: ``train`` or ``dev``.
        version: The version of SQuAD.
    """
    name = f"{split}-v{version}.json"
    return f"SQuAD/{name}", name


def dev_file(path: Path) -> Path:
    """The file of questions that a path names: itself, or a data folder's dev file.

    Raises:
        DataError: If it is not there, or a folder has those of both versions.
    """
    if not path.is_dir():
        return path
    places = [name for version in VERSIONS for name in usual_paths("dev", version)]
    found = [path / place for place in places if (path / place).is_file()]
    if not found:
        names = " or ".join(usual_paths("dev", version)[-1] for version in VERSIONS)
        raise DataError(f"{path}: there is no {names} in this folder, nor in SQuAD/ inside it")
    if len(found) > 1:
        raise DataError(
            f"{path}: there is more than one file of questions: {listed(map(str, found))}\n"
            "  name one of them"
        )
    return found[0]


def read_questions(path: Path) -> QuestionFile:
    """The right answers of every question of a file.

    It is of version 2.0 if it says so, or if a question has ``is_impossible``.

    Raises:
        DataError: If the file is missing, no JSON, or not in SQuAD's form; or a question of
            version 1.1 has no answer.
    """
    whole = read_json(path, form="a SQuAD file")
    second = whole.has("version") and whole.text("version").lower().removeprefix("v")[:1] == "2"
    golds: dict[str, tuple[str, ...]] = {}
    for question in _questions(whole):
        id_ = question.text("id")
        if id_ in golds:
            raise question.wrong(f'another question has the id "{id_}", too')
        golds[id_] = tuple(answer.text("text") for answer in question.list("answers"))
        second = second or question.has("is_impossible")
    if not golds:
        raise DataError(f"{path}: the file has no questions")
    unanswered = [id_ for id_, texts in golds.items() if not texts]
    if unanswered and not second:
        raise DataError(
            f'{path}: question "{unanswered[0]}" has no answers\n  only files of version 2.0 have '
            'such questions: they say "version": "v2.0", or "is_impossible" of a question'
        )
    return QuestionFile(path, "2.0" if second else "1.1", golds)


def read_answers(path: Path) -> dict[str, str]:
    """Question id to the given answer, ``""`` for none.

    Raises:
        DataError: If the file is missing, no JSON, or something else.
    """
    return _by_question(path, "an answer, a text", lambda value: isinstance(value, str))


def read_odds(path: Path) -> dict[str, float]:
    """Question id to how likely it is that there is no answer, any finite number.

    Raises:
        DataError: If the file is missing, no JSON, or something else.
    """
    return _by_question(path, "null odds, a finite number", _is_number)


def named(ids: Collection[str]) -> str:
    """The number of some questions and the first ids: ``7 questions (a, b, c, d, e ...)``."""
    more = " ..." if len(ids) > _FEW else ""
    return f"{counted(len(ids), 'question')} ({listed(list(ids)[:_FEW])}{more})"


def _questions(whole: Node) -> Iterator[Node]:
    for article in whole.list("data"):
        for paragraph in article.list("paragraphs"):
            yield from paragraph.list("qas")


def _by_question(path: Path, what: str, accepts: Callable[[object], bool]) -> dict[str, Any]:
    """What a JSON object says of each question."""
    values = read_json(path, form="a file of predictions").value
    if not isinstance(values, dict):
        raise DataError(f"{path}: must be one JSON object, question id to {what}")
    for id_, value in values.items():
        if not accepts(value):
            raise DataError(f'{path}: question "{id_}" must have {what}, not {shown(value)}')
    return values


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= sys.float_info.max
