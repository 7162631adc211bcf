"""The files that predictions are written to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bertmod.data.durable import write_file
from bertmod.errors import DataError

Row = Mapping[str, Any]


def write_predictions(path: Path, predictions: Sequence[Row]) -> Path:
    """Write predictions as a table, replacing the file in one instant.

    Args:
        path: ``.tsv``: ``index`` and ``prediction``, as ``submission_lines`` writes them.
            ``.json``: an object, id to answer, the form of SQuAD's predictions. ``.jsonl``:
            everything that the task says of each example.
        predictions: One per example, each with ``id`` and an answer.

    Returns:
        ``path``.

    Raises:
        DataError: If the file cannot be written or its name ends in something else.
    """
    lines = _choose(path, _WRITERS, "output")(predictions)
    replace_text(path, "".join(f"{line}\n" for line in lines))
    return path


def check_predictions_path(path: Path, *, several: bool = False) -> None:
    """Refuse a file that predictions cannot be written to, before they are made.

    Args:
        path: The file.
        several: Whether several tasks' answers go into it.

    Raises:
        DataError: If its name ends in something unknown, its folder is missing, or it is a folder.
    """
    _choose(path, _ANSWER_WRITERS if several else _WRITERS, "output")
    check_output_file(path)


def check_output_file(path: Path) -> None:
    """Refuse a path that no file can be written to, before its content is made.

    Raises:
        DataError: If it is a folder, or the folder that it would be in is missing.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a file")
    _require_parent(path)


def check_output_folder(path: Path, *, why: str) -> None:
    """Refuse a folder that files cannot be written into, before their content is made.

    Args:
        path: The folder, which may be made later.
        why: Why it must be a folder, for the message.

    Raises:
        DataError: If it is a file, or the folder that it would be made in is missing.
    """
    if path.exists() and not path.is_dir():
        raise DataError(f"{path}: is a file; {why}")
    if not path.is_dir():
        _require_parent(path)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; one that is there is fine.

    Raises:
        DataError: If it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be made: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> Path:
    """Write a file in one instant, into a folder that is made if it is not there.

    Returns:
        ``path``.

    Raises:
        DataError: If the folder cannot be made or the file cannot be written.
    """
    make_folder(path.parent)
    replace_text(path, text)
    return path


def submission_lines(predictions: Iterable[Row]) -> list[str]:
    """Lines of a table ``index<TAB>prediction``, header first.

    Args:
        predictions: One per example, each with ``id`` and ``label`` (text), ``value`` (a number,
            written with 3 decimals), ``labels`` (joined by ``|``), ``tags`` (joined by spaces),
            ``choice`` (a number from 0) or ``text`` (on one line).

    Raises:
        DataError: If an id or a label has a tab or a line end in it.
    """
    rows = [("index", "prediction")]
    for prediction in predictions:
        rows.append((_cell(prediction["id"]), _cell(_shown(prediction))))
    return ["\t".join(row) for row in rows]


def write_answers(path: Path, ids: Sequence[str], answers: Mapping[str, Sequence[Row]]) -> None:
    """Write several tasks' predictions for the same rows, replacing the file in one instant.

    Args:
        path: ``.tsv``: ``index`` and a column per task. ``.jsonl``: an object per row, ``index``
            and under each task's id ``prediction`` and what else the task says.
        ids: What each row is called.
        answers: Task id to one prediction per row.

    Raises:
        DataError: If the file cannot be written or its name ends in something else.
    """
    lines = _choose(path, _ANSWER_WRITERS, "output")(ids, answers)
    replace_text(path, "".join(f"{line}\n" for line in lines))


def answer_lines(ids: Sequence[str], answers: Mapping[str, Sequence[Row]]) -> list[str]:
    """Lines of a table with a column per task, header first.

    Args:
        ids: What each row is called.
        answers: Task id to one prediction per row, as ``submission_lines`` takes them.

    Raises:
        DataError: If an id or an answer has a tab or a line end in it.
    """
    columns = [[_shown(prediction) for prediction in each] for each in answers.values()]
    rows = [("index", *answers), *zip(ids, *columns, strict=True)]
    return ["\t".join(_cell(cell) for cell in row) for row in rows]


def replace_text(path: Path, text: str) -> None:
    """Replace a file's text in one instant.

    Raises:
        DataError: If the file cannot be written.
    """
    replace_bytes(path, text.encode("utf-8"))


def replace_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content in one instant.

    Raises:
        DataError: If the file cannot be written.
    """
    try:
        write_file(path, content)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error


def _require_parent(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}")


def _choose(path: Path, known: Mapping[str, Callable[..., Any]], use: str) -> Callable[..., Any]:
    chosen = known.get(path.suffix.lower())
    if chosen is None:
        raise DataError(f"{path}: {use} files end in {', '.join(known)}")
    return chosen


def _cell(value: object) -> str:
    text = str(value)
    if any(separator in text for separator in "\t\n\r"):
        raise DataError(f"{text!r} has a tab or a line end: write .jsonl instead")
    return text


def _shown(prediction: Row) -> str:
    """The answer of a prediction, without what is said of it; all of it where no key is known."""
    for key, show in _ANSWERS.items():
        if key in prediction:
            return show(prediction[key])
    return json.dumps(_without_id(prediction), ensure_ascii=False)


def _one_line(text: str) -> str:
    return text.translate(_SEPARATORS)


def _without_id(prediction: Row) -> Row:
    return {key: value for key, value in prediction.items() if key != "id"}


def _answer(prediction: Row) -> Row:
    """A prediction whose answer is called ``prediction``."""
    own = dict(_without_id(prediction))
    for key in _ANSWERS:
        if key in own:
            return {"prediction": own.pop(key), **own}
    return own


def _answer_json_lines(ids: Sequence[str], answers: Mapping[str, Sequence[Row]]) -> list[str]:
    return [
        json.dumps(
            {"index": id_, **{task: _answer(each[row]) for task, each in answers.items()}},
            ensure_ascii=False,
        )
        for row, id_ in enumerate(ids)
    ]


def _json_lines(predictions: Sequence[Row]) -> list[str]:
    return [json.dumps(dict(prediction), ensure_ascii=False) for prediction in predictions]


def _json_object(predictions: Sequence[Row]) -> list[str]:
    answers: dict[str, Any] = {}
    for prediction in predictions:
        if prediction["id"] in answers:
            raise DataError(f'two rows are called "{prediction["id"]}": write .jsonl instead')
        answers[prediction["id"]] = _plain(prediction)
    return [json.dumps(answers, indent=4)]


def _plain(prediction: Row) -> Any:
    return next((prediction[key] for key in _ANSWERS if key in prediction), _without_id(prediction))


_SEPARATORS = str.maketrans("\t\n\r", "   ")
_ANSWERS: Mapping[str, Callable[[Any], str]] = {
    "label": str,
    "value": "{:.3f}".format,
    "labels": "|".join,
    "tags": " ".join,
    "choice": str,
    "text": _one_line,
}
"""Where a prediction holds its answer, the first that is there, and how a table shows it."""

_WRITERS = {".tsv": submission_lines, ".json": _json_object, ".jsonl": _json_lines}
_ANSWER_WRITERS = {".tsv": answer_lines, ".jsonl": _answer_json_lines}
