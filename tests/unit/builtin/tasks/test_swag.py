"""Scenes with four endings."""

from __future__ import annotations

import numpy as np
import pytest

from bertmod import DataError, TaskInfo
from bertmod.builtin.tasks.choices import task as choices
from bertmod.builtin.tasks.choices.config import SWAG

HEADER = ",video-id,fold-ind,startphrase,sent1,sent2,gold-source,ending0,ending1,ending2,ending3"
ROWS = [
    '0,v,1,a b c,a b,c,gold,d,"d, e",f a,b b b,{}',
    "1,v,2,h c,h,c,gen,a,b,c,d,{}",
    "2,v,3,g c,g,c,gen,a,b,c,e,{}",
]


def table(labels=(1, 3, 3)):
    return (
        "\n".join([f"{HEADER},label", *(r.format(n) for r, n in zip(ROWS, labels, strict=True))])
        + "\n"
    )


TEST = "\n".join([HEADER, *(row.removesuffix(",{}") for row in ROWS)]) + "\n"
FILES = {"SWAG/train.csv": table(), "SWAG/val.csv": table(), "SWAG/test.csv": TEST}
FIRST = {"context": "a b", "question": "c", "choices": ["d", "d, e", "f a", "b b b"]}


@pytest.fixture
def ready(build_spec, put):
    """A task bound to files."""

    def bind(files=FILES, **about):
        task = build_spec(SWAG, **about)
        task.setup(put(files))
        return task

    return bind


def outputs(task, examples, probabilities):
    table = task.features(examples, TaskInfo())
    rows = zip(table, np.float32(probabilities), strict=True)
    return [[(feature, {"probabilities": row})] for feature, row in rows]


def test_examples(ready) -> None:
    task = ready()
    assert task.read("train")[0] == {"id": "0", **FIRST, "label": 1}
    assert task.read("test")[0] == {"id": "0", **FIRST}
    assert task.read("dev")[1:][0]["label"] == 3
    assert [task.splits[split] for split in task.splits] == ["train", "dev", "test"]


def test_files_directly_in_the_folder(ready) -> None:
    task = ready({name.removeprefix("SWAG/"): text for name, text in FILES.items()})
    assert len(task.read("test")) == 3


def test_setup(build_spec, put) -> None:
    task = build_spec(SWAG)
    info = task.setup(put(FILES))
    assert (info.labels, info.label_counts) == (None, None)
    put({"SWAG/train.csv": table((0, 0, 0))})
    assert build_spec(SWAG).setup(put({})).fingerprint != info.fingerprint
    with pytest.raises(ValueError, match=r"^call setup\(data\) before reading a split$"):
        build_spec(SWAG).read("dev")


def test_a_row_per_choice(ready) -> None:
    (feature, *_) = ready().features(ready().read("dev"), TaskInfo())
    a, b, c, d, e, f = range(5, 11)
    rows = [row["input_ids"].tolist() for row in feature.rows]
    assert rows == [
        [2, a, b, 3, c, d, 3],
        [2, a, b, 3, c, d, 1, e, 3],
        [2, a, b, 3, c, f, a, 3],
        [2, a, b, 3, c, b, b, b, 3],
    ]
    assert feature.rows[1]["token_type_ids"].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert feature.targets["labels"].tolist() == 1
    assert feature.targets["labels"].dtype == np.int64


def test_the_longer_text_is_cut(ready) -> None:
    task = ready(max_length=7)
    table = task.features(task.read("dev"), TaskInfo())
    assert table[0].rows[3]["input_ids"].tolist() == [2, 5, 6, 3, 7, 6, 3]
    assert table.host["truncated"].values.tolist() == [True, False, False], "one for all its rows"


def test_features_do_not_depend_on_chunks(ready, monkeypatch) -> None:
    task = ready()
    whole = task.features(task.read("dev"), TaskInfo())
    monkeypatch.setattr(choices, "_CHUNK", 2)
    parts = task.features(task.read("dev"), TaskInfo())
    assert parts.example.tolist() == whole.example.tolist() == [0, 1, 2]
    assert parts.row_bounds.tolist() == whole.row_bounds.tolist() == [0, 4, 8, 12]
    assert parts.tokens["input_ids"].tolist() == whole.tokens["input_ids"].tolist()


def test_features_without_labels_and_of_nothing(ready) -> None:
    task = ready()
    assert not task.features(task.read("test"), TaskInfo())[0].targets
    assert len(task.features([], TaskInfo())) == 0
    with pytest.raises(ValueError, match="all have a label or none has"):
        task.features([task.read("dev")[0], task.read("test")[0]], TaskInfo())


def test_predictions(ready) -> None:
    task = ready()
    examples = task.read("test")[:1]
    given = outputs(task, examples, [[0.25, 0.5, 0.125, 0.125]])
    probabilities = [0.25, 0.5, 0.125, 0.125]
    assert task.predict(examples, given, TaskInfo()) == [
        {"id": "0", "choice": 1, "text": "d, e", "probabilities": probabilities}
    ]
    with pytest.raises(ValueError, match=r"^0 outputs for 1 examples$"):
        task.predict(examples, [], TaskInfo())


def test_scores(ready) -> None:
    task = ready()
    dev = task.read("dev")
    given = [{"choice": choice} for choice in (1, 3, 0)]
    assert task.score("dev", dev, given) == {"accuracy": pytest.approx(2 / 3)}
    again = task.resampler("dev", dev, given)
    assert again(np.arange(3)) == task.score("dev", dev, given)
    assert again(np.array([2, 2])) == {"accuracy": 0.0}
    assert task.baseline(dev) == {"accuracy": pytest.approx(2 / 3)}
    info = TaskInfo()
    assert task.calibrate(dev, [], info) is info
    with pytest.raises(DataError, match=r'^task "swag": split "test" has no labels to score'):
        task.score("test", task.read("test"), given)


def test_files_written(ready, tmp_path) -> None:
    task = ready()
    for split, name in (("dev", "swag.dev.tsv"), ("test", "swag.test.tsv")):
        examples = task.read(split)
        given = [{"id": each["id"], "choice": 2} for each in examples]
        (path,) = task.write(split, examples, given, tmp_path / "new")
        assert path == tmp_path / "new" / name
        assert path.read_text() == "index\tprediction\n0\t2\n1\t2\n2\t2\n"
    with pytest.raises(DataError, match=r"2 predictions for 3 rows\n  nothing was written$"):
        task.write("dev", dev := task.read("dev"), given[: len(dev) - 1], tmp_path)


def test_examples_by_hand(ready) -> None:
    task = ready()
    fields = {"sent1": "a b", "sent2": "c", "ending0": "d", "ending1": "d, e"}
    wanted = {"id": "5", "context": "a b", "question": "c", "choices": ["d", "d, e"]}
    more = {"ending2": "", "ending3": ""}
    assert task.example({**fields, **more, "id": 5, "label": "0"}) == wanted
    own = {"context": "a b", "question": "c", "choices": ["d", "d, e"], "index": "5"}
    assert task.example(own) == wanted
    named = task.example({"text": "a b", "text_pair": "c", "choices": ["d", "d, e"], "id": 5})
    assert named == wanted
    bare = task.example({"context": "a", "choices": ["b", "c"]})
    assert bare == {"id": "", "context": "a", "choices": ["b", "c"]}
    assert len(task.features([bare], TaskInfo())[0].rows) == 2


def test_examples_that_cannot_be_made(ready) -> None:
    task = ready()
    with pytest.raises(DataError) as caught:
        task.example({"text": "a"})
    assert str(caught.value) == (
        'task "swag": a context and its choices are needed\n  given: "text"'
        '\n  accepted: "sent1", "sent2", "ending0", "ending1", "ending2", "ending3"; or "context" '
        'or "text" and "choices", a list of text'
    )
    for fields, message in (
        ({"context": ["a"], "choices": ["b", "c"]}, '"sent1" is a list, not text'),
        ({"context": "a", "choices": ["b"]}, "two or more choices are needed, each with text"),
        ({"context": "a", "choices": "b"}, "the choices are no list in JSON: Expecting value"),
        ({"context": "a", "choices": 3}, "the choices are no list in JSON"),
    ):
        with pytest.raises(DataError) as caught:
            task.example(fields)
        assert str(caught.value).startswith(f'task "swag": {message}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (table((1, 4, 1)), 'line 3: label "4" is none of "0", "1", "2", "3"'),
        (table((1, "", 1)), 'line 3: label "" is none of "0", "1", "2", "3"'),
        (
            table().replace(",a,b,c,d,", ",a,,c,d,"),
            "line 3: two or more choices are needed, each with text",
        ),
    ],
)
def test_bad_rows(ready, text, message) -> None:
    task = ready({**FILES, "SWAG/val.csv": text}, strict=True)
    with pytest.raises(DataError) as caught:
        task.read("dev")
    assert str(caught.value).split("\n")[1:-1] == [f"  {message}"]


def test_a_row_that_is_left_out(ready, caplog) -> None:
    task = ready({**FILES, "SWAG/val.csv": table((1, 9, 1))})
    assert [each["id"] for each in task.read("dev")] == ["0", "2"]
    assert "left out 1 malformed row of 3" in caplog.text


def test_missing_columns_and_files(ready, build_spec, put) -> None:
    task = ready({**FILES, "SWAG/val.csv": TEST})
    with pytest.raises(DataError, match=r'no column "label"'):
        task.read("dev")
    (put({}) / "SWAG/val.csv").unlink()
    with pytest.raises(DataError, match=r"val\.csv: no such file, task \"swag\" needs it"):
        build_spec(SWAG).setup(put({}))
    build_spec(SWAG, trains=False).setup(put({"SWAG/val.csv": table()}))
