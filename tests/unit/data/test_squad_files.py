"""SQuAD's files as the official programs take them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertmod.data.squad_files import dev_file, named, read_answers, read_odds, read_questions
from bertmod.errors import DataError


def squad(*questions: dict[str, Any], **top: Any) -> dict[str, Any]:
    return {**top, "data": [{"paragraphs": [{"context": "x", "qas": list(questions)}]}]}


def question(id_: str, *texts: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "answers": [{"text": text} for text in texts], **more}


@pytest.fixture
def write(tmp_path: Path):
    def write_file(value: Any, name: str = "dev.json") -> Path:
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return path

    return write_file


@pytest.mark.parametrize(
    ("values", "version"),
    [
        (squad(question("a", "x")), "1.1"),
        (squad(question("a", "x"), version="1.1"), "1.1"),
        (squad(question("a", "x"), version="v2.0"), "2.0"),
        (squad(question("a", "x"), version="2.0"), "2.0"),
        (squad(question("a", "x", is_impossible=False)), "2.0"),
        (squad(question("a", is_impossible=True), question("b", "x")), "2.0"),
    ],
)
def test_the_file_tells_its_version(write, values, version) -> None:
    assert read_questions(write(values)).version == version


def test_answers_are_in_the_order_of_the_file(write) -> None:
    found = read_questions(
        write(squad(question("b", "x", "y"), question("a", version=2), version="2"))
    )
    assert list(found.golds.items()) == [("b", ("x", "y")), ("a", ())]


QUESTION = "data[0].paragraphs[0].qas[0]"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{", ", line 1, column 2: not JSON: Expecting property name enclosed in double quotes"),
        ([], ", top level: must be an object, not a list, so this is not a SQuAD file"),
        ({}, ", data: missing, so this is not a SQuAD file"),
        ({"data": []}, ": the file has no questions"),
        ({"data": {"a": 1}}, ", data: must be a list, not an object, so this is not a SQuAD file"),
        (squad({"answers": []}), f", {QUESTION}.id: missing, so this is not a SQuAD file"),
        (squad({"id": "a"}), f", {QUESTION}.answers: missing, so this is not a SQuAD file"),
        (
            squad({"id": "a", "answers": ["x"]}),
            f", {QUESTION}.answers[0]: must be an object, not text, so this is not a SQuAD file",
        ),
        (
            squad(question("a", "x"), question("a", "y")),
            ', data[0].paragraphs[0].qas[1]: another question has the id "a", too',
        ),
        (
            squad(question("a")),
            ': question "a" has no answers\n  only files of version 2.0 have such questions: '
            'they say "version": "v2.0", or "is_impossible" of a question',
        ),
    ],
)
def test_files_that_are_refused(write, values, message) -> None:
    path = write(values)
    with pytest.raises(DataError) as failure:
        read_questions(path)
    assert str(failure.value) == f"{path}{message}"


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (read_answers, [], "must be one JSON object, question id to an answer, a text"),
        (read_answers, {"a": 1}, 'question "a" must have an answer, a text, not 1'),
        (read_odds, {"a": "1"}, 'question "a" must have null odds, a finite number, not "1"'),
        (read_odds, {"a": True}, 'question "a" must have null odds, a finite number, not true'),
        (read_odds, '{"a": NaN}', 'question "a" must have null odds, a finite number, not NaN'),
        (read_odds, '{"a": 1e999}', 'question "a" must have null odds, a finite number, not Inf'),
    ],
)
def test_predictions_that_are_refused(write, read, value, message) -> None:
    path = write(value)
    with pytest.raises(DataError) as failure:
        read(path)
    assert str(failure.value).startswith(f"{path}: {message}")


def test_numbers_without_end_are_refused(write) -> None:
    path = write(f'{{"a": 1{"0" * 400}}}')
    with pytest.raises(DataError, match='"a" must have null odds, a finite number, not 1000'):
        read_odds(path)
    path = write(f'{{"a": 1{"0" * 5000}}}')
    with pytest.raises(DataError, match=r"dev.json: not JSON: Exceeds the limit \(4300 digits\)"):
        read_odds(path)


def test_a_folder_is_searched(tmp_path: Path) -> None:
    with pytest.raises(DataError) as failure:
        dev_file(tmp_path)
    assert str(failure.value) == (
        f"{tmp_path}: there is no dev-v1.1.json or dev-v2.0.json in this folder, nor in SQuAD/ "
        "inside it"
    )
    (tmp_path / "SQuAD").mkdir()
    inside = tmp_path / "SQuAD/dev-v2.0.json"
    inside.touch()
    assert dev_file(tmp_path) == dev_file(tmp_path / "SQuAD") == dev_file(inside) == inside
    outside = tmp_path / "dev-v1.1.json"
    outside.touch()
    with pytest.raises(DataError) as failure:
        dev_file(tmp_path)
    assert str(failure.value) == (
        f"{tmp_path}: there is more than one file of questions: {outside}, {inside}\n"
        "  name one of them"
    )


def test_a_few_ids_are_named() -> None:
    assert named(["a"]) == "1 question (a)"
    assert named([str(number) for number in range(7)]) == "7 questions (0, 1, 2, 3, 4 ...)"
