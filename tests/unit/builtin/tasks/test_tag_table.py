"""Words and tags in tables of the user's own."""

from __future__ import annotations

import json

import pytest

from bertmod import DataError
from bertmod.builtin.tasks.tags.table_config import TAG_TABLE

ROWS = ({"words": ["a", "b"], "tags": ["I-X", "O"]}, {"words": ["c"], "tags": ["I-Y"]})
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
TEXT = "words\ttags\tmore\na b\tI-X O\t1\nc\tI-Y\t2\n"
ASKED = {"train": "train.tsv", "dev": "dev.jsonl", "test": "test.csv"}
FILES = {"train.tsv": TEXT, "dev.jsonl": LINES, "test.csv": "words\na b\n"}


@pytest.fixture
def ready(build_spec, put):
    """A task bound to tables, and what it fixed."""

    def bind(files=FILES, **options):
        task = build_spec(TAG_TABLE, **(options or ASKED))
        return task, task.setup(put(files))

    return bind


def test_tables_of_text_and_of_lists(ready) -> None:
    task, info = ready()
    assert info.labels == ("O", "B-X", "I-X", "B-Y", "I-Y")
    wanted = [
        {"id": "0", "words": ["a", "b"], "tags": ["B-X", "O"]},
        {"id": "1", "words": ["c"], "tags": ["B-Y"]},
    ]
    assert list(task.read("train")) == list(task.read("dev")) == wanted
    assert list(task.read("test")) == [{"id": "0", "words": ["a", "b"]}]


def test_columns_of_other_names(ready) -> None:
    options = {"train": "t.csv", "words": "text", "tags": "pos", "scheme": "none"}
    task, info = ready({"t.csv": "pos,text\nN V,a b\n"}, **options)
    assert info.labels == ("N", "V")
    assert task.read("train")[0] == {"id": "0", "words": ["a", "b"], "tags": ["N", "V"]}


def test_splits_are_those_that_are_stated() -> None:
    config = TAG_TABLE.config(train="a.tsv", test="c.tsv")
    assert TAG_TABLE.splits(config) == {"train": "train", "test": "test"}
    assert not TAG_TABLE.check(config)
    assert TAG_TABLE.metrics(config) == {"test": ("f1", "precision", "recall", "accuracy")}
    borrower = TAG_TABLE.config(dev="b.tsv", scheme="none")
    assert TAG_TABLE.metrics(borrower) == {"dev": ("accuracy",)}


def test_a_test_table_with_tags(ready) -> None:
    files = {**FILES, "test.csv": "words,tags\na b,I-X O\n"}
    task, _ = ready(files, **ASKED)
    assert task.read("test")[0]["tags"] == ["B-X", "O"]
    for more, message in (
        ("c,O O\n", r"line 3: 2 tags for 1 words\n  every row of a test file"),
        ("c,\n", r"test\.csv, line 3: no tags, but others have one\n  leave the column out"),
    ):
        task, _ = ready({**files, "test.csv": files["test.csv"] + more}, **ASKED)
        with pytest.raises(DataError, match=message):
            task.read("test")
    task, _ = ready({**files, "test.csv": "words,tags\na b,\n"}, **ASKED)
    assert task.read("test").tags is None


def test_rows_that_are_left_out(ready, caplog) -> None:
    text = "words\ttags\na b\tO O\nc\tO O\n\tO\na b c\td\te\nd\tI-X\n"
    task, info = ready({**FILES, "train.tsv": text})
    caplog.clear()
    assert [each["id"] for each in task.read("train")] == ["0", "4"]
    assert caplog.messages[0].split("train.tsv: ")[1] == (
        "left out 3 malformed rows of 5\n  line 3: 2 tags for 1 words"
        '\n  line 4: "words" is neither a list of words nor text with words in it'
        "\n  line 5: 3 columns, the header has 2"
    )
    assert info.label_counts == (2, 1, 0)


def test_rows_that_may_not_be_left_out(build_spec, ready, put) -> None:
    text = "words\ttags\na b\tO O\nc\tO O\n"
    task = build_spec(TAG_TABLE, strict=True, **ASKED)
    with pytest.raises(DataError, match=r"1 malformed row of 2\n  line 3: 2 tags for 1 words\n"):
        task.setup(put({**FILES, "train.tsv": text}))
    task, _ = ready({**FILES, "test.csv": 'words\na b\n""\n'})
    with pytest.raises(DataError, match=r"every row of a test file gets a prediction"):
        task.read("test")


def test_a_tag_that_is_no_part_of_an_entity(ready) -> None:
    with pytest.raises(DataError) as caught:
        ready({**FILES, "train.tsv": "words\ttags\na b\tO X\n"})
    assert str(caught.value).split("train.tsv, ")[1] == (
        'line 2: "X" is no tag of an entity'
        '\n  accepted: "O", and "B-" or "I-" with a type behind it'
        '\n  for tags that are no parts of entities: "scheme": "none"'
    )


def test_ids_of_a_column(ready) -> None:
    files = {"t.csv": "words;tags;n\na b;I-X O;x7\nc;O;x8\n"}
    task, _ = ready(files, train="t.csv", delimiter=";", id_column="n")
    assert [each["id"] for each in task.read("train")] == ["x7", "x8"]
    with pytest.raises(DataError, match=r'two rows have the id "x7": line 2 and 3$'):
        ready(
            {"t.csv": files["t.csv"].replace("x8", "x7")},
            train="t.csv",
            delimiter=";",
            id_column="n",
        )


def test_options() -> None:
    config = TAG_TABLE.config(train="a.csv", delimiter='"', labels=("O",))
    assert [each.path for each in TAG_TABLE.check(config)] == ["delimiter", "labels"]


def test_an_unknown_tag(ready) -> None:
    task, info = ready({**FILES, "dev.jsonl": '{"words": ["a", "b"], "tags": ["O", "I-Z"]}\n'})
    with pytest.raises(DataError, match=r'dev\.jsonl, line 1: unknown tag "B-Z"\n'):
        task.features(task.read("dev"), info)


def test_a_file_written(ready, tmp_path) -> None:
    task, _ = ready()
    (path,) = task.write("test", task.read("test"), [{"id": "0", "tags": ["B-X", "B-X"]}], tmp_path)
    assert path.name == "tag_table.test.jsonl"
    assert path.read_text() == '{"index": "0", "words": ["a", "b"], "tags": ["I-X", "B-X"]}\n'
