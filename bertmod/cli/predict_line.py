"""One example from the words of the command line, answered as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertmod.cli.mixed_answers import several_answers
from bertmod.cli.predict_rows import one_task
from bertmod.cli.trained_options import names_several
from bertmod.errors import DataError
from bertmod.wording import listed

if TYPE_CHECKING:
    from bertmod.contracts.task import Example, Prediction, Task
    from bertmod.inference.trained import TrainedRun

Fields = Mapping[str, Any]

_OPTIONS = {"text_pair": "--text-pair", "choices": "--choice"}


def line_fields(
    text: str | None, *, text_pair: str | None, file: Path | None, choices: Sequence[str]
) -> Fields | None:
    """What tasks make an example of; None if no ``--text`` was given.

    Args:
        text: ``--text``.
        text_pair: ``--text-pair``.
        file: ``--text-pair-file``.
        choices: ``--choice``, in order.

    Raises:
        DataError: If something stands beside ``--text`` that is not there, the second text is
            given twice, or its file cannot be read.
    """
    given = {"--text-pair": text_pair, "--text-pair-file": file, "--choice": choices or None}
    stated = [option for option, value in given.items() if value is not None]
    if text is None:
        if stated:
            raise DataError(f"{stated[0]} stands beside --text, which is not given")
        return None
    if text_pair is not None and file is not None:
        raise DataError("--text-pair and --text-pair-file: the second text is given twice")
    pair = text_pair if file is None else _passage(file)
    fields = {"text": text, "text_pair": pair, "choices": list(choices) or None}
    return {name: value for name, value in fields.items() if value is not None}


def answer_line(trained: TrainedRun, asked: Sequence[str], fields: Fields) -> None:
    """Print what a task says of one example, or, under its id, what each of several tasks says.

    Args:
        trained: The run.
        asked: Ids of tasks, or ``all``.
        fields: The texts.

    Raises:
        DataError: If a text is missing, nobody reads one, or no task can answer.
    """
    answer: Mapping[str, Any]
    if names_several(asked):
        found = several_answers(
            trained,
            asked,
            [fields],
            examples=_examples,
            nobody="--text: no task can answer it",
            advice=f"given: {_given(fields)}",
        )
        answer = {task: _said(each[0]) for task, each in found.items()}
    else:
        task = one_task(trained, asked, option="--text")
        bound = trained.task(task).task
        example = bound.example(fields)
        _refuse_unread(task, bound, fields, example)
        answer = _said(trained.predict(task, [example])[0])
    print(json.dumps(answer, indent=2, ensure_ascii=False))


def _passage(path: Path) -> str:
    """A file's text; empty lines at its end are left out."""
    from bertmod.data.lines import read_lines

    return "\n".join(read_lines(path))


def _examples(task: Task, rows: Sequence[Fields]) -> list[Example]:
    return [task.example(fields) for fields in rows]


def _refuse_unread(name: str, task: Task, fields: Fields, example: Example) -> None:
    """Refuse a text that makes no difference to the example: it would be ignored in silence."""
    for field, option in _OPTIONS.items():
        if field not in fields:
            continue
        rest = {key: value for key, value in fields.items() if key != field}
        try:
            unread = task.example(rest) == example
        except DataError:  # it is needed
            continue
        if unread:
            raise DataError(f'{option}: task "{name}" does not read it')


def _said(prediction: Prediction) -> dict[str, Any]:
    return {key: value for key, value in prediction.items() if key != "id"}


def _given(fields: Fields) -> str:
    return listed(_OPTIONS.get(field, "--text") for field in fields)
