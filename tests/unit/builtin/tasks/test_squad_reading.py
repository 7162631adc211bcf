"""SQuAD's files and tables of questions to examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bertmod import DataError
from bertmod.builtin.tasks.spans.reading import SquadReader
from bertmod.builtin.tasks.spans.table import SpanTableReader
from bertmod.builtin.tasks.spans.table_config import SpanTableConfig
from bertmod.builtin.tasks.spans.words import Words

CONTEXT = "Ann met  Bo\u202fin\tCafé Noir\u00a0(old)."


def question(text: str = "Bo", start: int | None = None, **changed: Any) -> dict[str, Any]:
    place = CONTEXT.find(text) if start is None else start
    answers = [{"text": text, "answer_start": place}]
    return {"id": "q1", "question": "Whom?", "answers": answers, **changed}


def squad(*questions: Any, context: str = CONTEXT) -> dict[str, Any]:
    return {"data": [{"paragraphs": [{"context": context, "qas": list(questions)}]}]}


@pytest.fixture
def read(tmp_path: Path):
    """Reads a JSON value or a text as a file of a split."""

    def run(content: Any, role: str = "train", *, no_answers: bool = False, strict: bool = False):
        path = tmp_path / "file.json"
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return SquadReader(no_answers=no_answers, strict=strict)(path, role)

    return run


@pytest.fixture
def refused(read, tmp_path: Path):
    """The message of the error that a file gives, the file called FILE."""

    def run(*args: Any, **kwargs: Any) -> str:
        with pytest.raises(DataError) as caught:
            read(*args, **kwargs)
        return str(caught.value).replace(str(tmp_path / "file.json"), "FILE")

    return run


def test_words_are_parted_by_five_characters_alone() -> None:
    words = Words(CONTEXT)
    assert words.texts == ["Ann", "met", "Bo", "in", "Café", "Noir\u00a0(old)."]
    assert [words.at(place) for place in (0, 3, 7, 8, 11, 12)] == [0, 0, 1, 1, 2, 3]
    assert Words(" a").at(0) == 0


def test_examples(read) -> None:
    own = {"id": "q1", "question": "Whom?", "context": CONTEXT}
    answers = [{"text": "Bo", "answer_start": 9}]
    assert read(squad(question())) == [{**own, "answers": answers}]
    assert read(squad(question()), "test") == [own]
    assert read(squad({"id": "q1", "question": "Whom?"}), "test") == [own]
    assert read(squad(question(is_impossible=True)), no_answers=True) == [
        {**own, "answers": [], "is_impossible": True}
    ]
    assert read(squad(question()), "dev", no_answers=True) == [
        {**own, "answers": answers, "is_impossible": False}
    ]


@pytest.mark.parametrize("text", ["Bo\u202fin", "Bo in", "Café", "Noir\u00a0(old)", "met Bo"])
def test_answers_across_unusual_spaces_are_found(read, text) -> None:
    start = CONTEXT.find(text.split()[0])
    assert len(read(squad(question(text, start)))) == 1


@pytest.mark.parametrize(
    ("text", "start", "why"),
    [
        ("Bo", 0, 'answer "Bo" is not at 0, where "An" stands'),
        ("Zoe", 0, 'answer "Zoe" is not in its context'),
        (
            "Cafe",
            15,
            'answer "Cafe" is not in its context, only one with other accents, case or spaces',
        ),
        ("Bo", 99, 'answer "Bo" cannot begin at 99 of a context of 31 characters'),
        ("Bo", -1, 'answer "Bo" cannot begin at -1 of a context of 31 characters'),
        (" ", 3, "its answer is empty"),
    ],
)
def test_training_answers_that_do_not_stand_there(read, refused, caplog, text, start, why) -> None:
    lost = question(text, start, id="q2")
    assert [each["id"] for each in read(squad(question(), lost))] == ["q1"]
    (told,) = caplog.messages
    assert told.endswith(f': left out 1 malformed question of 2\n  question "q2": {why}')
    assert refused(squad(question(), lost), strict=True) == (
        f'FILE: 1 malformed question of 2\n  question "q2": {why}\n'
        "  such questions are left out with a warning unless --strict-data is set"
    )
    assert len(read(squad(question(), lost), "dev", strict=True)) == 2


def test_many_lost_answers_are_one_warning(read, caplog) -> None:
    lost = [question("Zoe", 0, id=f"lost{n}") for n in range(7)]
    read(squad(question(), *lost))
    (told,) = caplog.messages
    assert "left out 7 malformed questions of 8" in told
    assert 'question "lost4"' in told
    assert told.endswith("and 2 more")


def test_empty_context(read, refused, caplog) -> None:
    whole = squad(question("Bo", 0), context="")
    assert 'question "q1": its context is empty' in refused(whole)
    assert len(read(whole, "dev")) == 1


def test_broken_json(refused) -> None:
    told = refused('{"data": [\n  {"paragraphs": ]}')
    assert told == "FILE, line 2, column 18: not JSON: Expecting value"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([], "FILE, top level: must be an object, not a list, so this is not a SQuAD file"),
        ({}, "FILE, data: missing, so this is not a SQuAD file"),
        (
            squad(question(), {"id": "q2"}),
            "FILE, data[0].paragraphs[0].qas[1].question: missing, so this is not a SQuAD file",
        ),
        (
            squad(question(id=7)),
            "FILE, data[0].paragraphs[0].qas[0].id: must be text, not a whole number, so this is "
            "not a SQuAD file",
        ),
        ({"data": []}, "FILE: the file has no questions"),
        (
            squad(question(question="\ud800?")),
            "FILE, data[0].paragraphs[0].qas[0].question: half of a surrogate pair (\\ud800 to "
            "\\udfff) stands alone",
        ),
        (
            squad(question(), question()),
            'FILE: two questions have the id "q1": data[0].paragraphs[0].qas[0] and '
            "data[0].paragraphs[0].qas[1]",
        ),
        (
            squad(question(answers=[], is_impossible=True)),
            'FILE, data[0].paragraphs[0].qas[0]: question "q1" has no answer ("is_impossible"), '
            'which version 1.1 does not know\n  set the task\'s version to "2.0"',
        ),
        (
            squad(question(answers=question()["answers"] * 3)),
            'FILE, data[0].paragraphs[0].qas[0]: question "q1" has 3 answers; a training '
            "question has exactly one\n"
            "  keep one of them",
        ),
        (
            squad(question(answers=[])),
            'FILE, data[0].paragraphs[0].qas[0]: question "q1" has no answers\n'
            '  version "2.0" knows questions without answer: "is_impossible": true',
        ),
    ],
)
def test_what_is_no_squad_file(refused, content, told) -> None:
    assert refused(content) == told


def test_files_of_version_1_read_as_2(read, caplog) -> None:
    read(squad(question(is_impossible=False)), no_answers=True)
    read(squad(question()), "dev", no_answers=True)
    assert not caplog.messages
    assert len(read(squad(question()), no_answers=True)) == 1
    (told,) = caplog.messages
    assert 'no question says "is_impossible", so that each has an answer' in told


@pytest.fixture
def table(tmp_path: Path):
    """Reads a table of a split; messages call it TABLE."""

    def run(text: str, role: str = "train", *, strict: bool = False, **options: Any):
        path = tmp_path / "rows.csv"
        path.write_text(text, encoding="utf-8")
        config = SpanTableConfig(train=str(path), **options)
        return SpanTableReader(config, strict=strict)(path, role)

    return run


def test_tables(table) -> None:
    text = "question,context,answer,at,key\nWhom?,a b a b,b,6,k1\nWho?,a b,,,k2\n"
    first = {"question": "Whom?", "context": "a b a b"}
    found = table(text, no_answers=True)
    assert found[0] == {
        **{"id": "0", **first, "is_impossible": False},
        "answers": [{"text": "b", "answer_start": 2}],
    }
    assert (found[1]["answers"], found[1]["is_impossible"]) == ([], True)
    told = table(text, answer_start="at", id_column="key", no_answers=True)
    assert told[0]["answers"] == [{"text": "b", "answer_start": 6}]
    assert [each["id"] for each in told] == ["k1", "k2"]
    assert table(text, "test")[0] == {"id": "0", **first}


def test_numbers_in_tables_are_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "When?", "context": "in 1995", "answer": 1995}\n')
    (found,) = SpanTableReader(SpanTableConfig(train=str(path)))(path, "train")
    assert found["answers"] == [{"text": "1995", "answer_start": 3}]


def test_malformed_rows_of_tables(table, caplog) -> None:
    text = "question,context,answer\nWhom?,a b,b\nWhom?,a b,\nWhom?\nWhom?,a b,c\nWhom?,c,c\n"
    assert [each["id"] for each in table(text)] == ["0", "4"]
    (told,) = caplog.messages
    assert told.endswith(
        "rows.csv: left out 3 malformed rows of 5\n"
        '  line 3: it has no answer, and "no_answers" is false\n'
        "  line 4: 1 column, the header has 3\n"
        '  line 5: answer "c" is not in its context'
    )
    with pytest.raises(DataError, match="every row of a test file gets a prediction"):
        table(text, "test")
    with pytest.raises(DataError, match="3 malformed rows of 5"):
        table(text, strict=True)


def test_tables_with_wrong_columns(table) -> None:
    with pytest.raises(DataError, match='no column "answer"; it has: question, context'):
        table("question,context\na,b\n")
    with pytest.raises(DataError, match='answer_start "x" is not a whole number'):
        table("question,context,answer,at\na,b,b,x\n", answer_start="at")
    with pytest.raises(DataError, match='two rows have the id "k": line 2 and 3'):
        table("question,context,answer,key\na,b,b,k\na,b,b,k\n", id_column="key")
