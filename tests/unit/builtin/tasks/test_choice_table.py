"""Contexts and choices in tables of the user's own."""

from __future__ import annotations

import pytest

from bertmod import DataError, TaskInfo
from bertmod.builtin.tasks.choices.config import CHOICE_TABLE

LINES = (
    '{"context": "a", "choices": ["b", "c"], "label": 1}\n'
    '{"context": "d", "choices": ["e", "f", "g"], "label": "2"}\n'
)
COLUMNS = "story,who,one,two,three,answer\na b,c,d,e,f,C\na,b,c,d,,B\n"
OPTIONS = {
    "train": "train.csv",
    "context": "story",
    "question": "who",
    "choices": ["one", "two", "three"],
    "label": "answer",
    "label_names": ["A", "B", "C"],
}


@pytest.fixture
def ready(build_spec, put):
    """A task bound to tables."""

    def bind(files, **options):
        task = build_spec(CHOICE_TABLE, **options)
        task.setup(put(files))
        return task

    return bind


def test_a_column_of_lists(ready) -> None:
    task = ready({"train.jsonl": LINES}, train="train.jsonl")
    assert list(task.read("train")) == [
        {"id": "0", "context": "a", "choices": ["b", "c"], "label": 1},
        {"id": "1", "context": "d", "choices": ["e", "f", "g"], "label": 2},
    ]
    table = task.features(task.read("train"), TaskInfo())
    assert [len(feature.rows) for feature in table] == [2, 3]
    assert table[0].rows[1]["input_ids"].tolist() == [2, 5, 3, 7, 3]


def test_a_test_table_with_labels(ready) -> None:
    files = {"train.jsonl": LINES, "test.jsonl": LINES}
    options = {"train": "train.jsonl", "test": "test.jsonl"}
    task = ready(files, **options)
    assert task.score("test", task.read("test"), [{"choice": 1}] * 2) == {"accuracy": 0.5}
    assert CHOICE_TABLE.metrics(CHOICE_TABLE.config(**options)) == {"test": ("accuracy",)}
    bare = '{"context": "a", "choices": ["b", "c"]}\n'
    assert ready({**files, "test.jsonl": bare}, **options).read("test").labels is None
    mixed = ready({**files, "test.jsonl": LINES + bare}, **options)
    with pytest.raises(DataError, match=r"line 3: no label, but others have one\n"):
        mixed.read("test")


def test_a_table_of_another_form_is_answered(ready, tmp_path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("key;story;who;one;two;three\nk1;a;b;c;d;\n")
    task = ready({"train.csv": COLUMNS}, **OPTIONS, delimiter=";", id_column="key")
    wanted = {"id": "k1", "context": "a", "question": "b", "choices": ["c", "d"]}
    assert task.examples(path) == [wanted]
    path.write_text("key;story\nk1;a\n")
    with pytest.raises(DataError, match=r"new\.csv, row 1: task .+ a context and its choices"):
        task.examples(path)
    assert ready({"train.csv": COLUMNS}, **OPTIONS).examples(path) is None


def test_choices_may_be_numbers(ready) -> None:
    text = '{"context": "a", "choices": [3, 2.5, "b"], "label": 1}\n'
    task = ready({"train.jsonl": text}, train="train.jsonl")
    assert task.read("train")[0]["choices"] == ["3", "2.5", "b"]


def test_lists_in_cells_of_text(ready) -> None:
    text = 'context\tchoices\tlabel\na\t["b", "c"]\t0\n'
    task = ready({"train.tsv": text}, train="train.tsv")
    assert task.read("train")[0]["choices"] == ["b", "c"]


def test_a_column_per_choice_and_named_labels(ready) -> None:
    task = ready({"train.csv": COLUMNS}, **OPTIONS)
    assert list(task.read("train")) == [
        {"id": "0", "context": "a b", "question": "c", "choices": ["d", "e", "f"], "label": 2},
        {"id": "1", "context": "a", "question": "b", "choices": ["c", "d"], "label": 1},
    ]
    assert task.features(task.read("train"), TaskInfo())[1].rows[1]["input_ids"].tolist() == [
        *(2, 5, 3, 6, 8, 3)
    ]


def test_examples_by_hand(ready) -> None:
    task = ready({"train.csv": COLUMNS}, **OPTIONS)
    wanted = {"id": "", "context": "a", "question": "b", "choices": ["c", "d"]}
    row = {"story": "a", "who": "b", "one": "c", "two": "d", "three": None}
    assert task.example(row) == wanted
    assert task.example({"context": "a", "question": "b", "choices": ["c", "d"]}) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            COLUMNS.replace(",,B", ",,C"),
            'line 3: label "C" is none of "A", "B"',
        ),
        (
            COLUMNS.replace("c,d,,B", "c,,d,B"),
            "line 3: two or more choices are needed, each with text",
        ),
    ],
)
def test_bad_rows(ready, text, message) -> None:
    task = ready({"train.csv": text}, strict=True, **OPTIONS)
    with pytest.raises(DataError) as caught:
        task.read("train")
    assert str(caught.value).split("\n")[1:-1] == [f"  {message}"]


@pytest.mark.parametrize("label", ["true", "1.0", "-1", "null"])
def test_labels_that_are_no_number_of_a_choice(ready, label) -> None:
    text = f'{{"context": "a", "choices": ["b", "c"], "label": {label}}}\n'
    task = ready({"train.jsonl": text}, train="train.jsonl")
    with pytest.raises(DataError, match=r'label ".+" is none of "0", "1"$'):
        task.read("train")


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ({}, []),
        ({"choices": ("a", "a")}, ["choices"]),
        ({"choices": ("a", "b", "c"), "label_names": ("A", "B")}, ["label_names"]),
        ({"label_names": ("A", "A")}, ["label_names"]),
        ({"label_names": ("A",)}, ["label_names"]),
    ],
)
def test_options(options, problems) -> None:
    config = CHOICE_TABLE.config(train="a.csv", **options)
    assert [problem.path for problem in CHOICE_TABLE.check(config)] == problems
    assert CHOICE_TABLE.splits(config) == {"train": "train"}
    assert CHOICE_TABLE.metrics(config) == {}
