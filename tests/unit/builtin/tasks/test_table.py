"""Tables of the user's own, from files to examples, targets, answers and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from bertmod import DataError, TaskContext
from bertmod.builtin.metrics.plugin import bertmod_metrics
from bertmod.builtin.tasks.sentences.table_config import TABLE, TableConfig
from bertmod.builtin.tasks.sentences.task import SentenceTask

Make = Callable[..., SentenceTask]
CLASSES = "text,label\na b,yes\nb,no\nc,yes\nd,no\n"


@pytest.fixture
def make(tokenizer, tmp_path: Path) -> Make:
    """A task on files of these names and contents."""

    def make(
        files: dict[str, str], *, strict: bool = False, trains: bool = True, **options: Any
    ) -> SentenceTask:
        for name, content in files.items():
            (tmp_path / name).write_bytes(content.encode())
        metrics = {spec.name: spec.build(spec.config()) for spec in bertmod_metrics()}
        context = TaskContext("table", tokenizer, 16, metrics, strict, trains)
        return TABLE.build(TableConfig(**options), context)

    return make


def told(call: Callable[[], object], folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value).replace(f"{folder}/", "")


def test_labels_are_found_and_counted(make: Make, tmp_path: Path) -> None:
    task = make({"t.csv": CLASSES, "d.csv": CLASSES}, train="t.csv", dev="d.csv")
    info = task.setup(tmp_path)
    assert (info.labels, info.label_counts, info.value_range) == (("no", "yes"), (2, 2), None)
    assert list(task.read("dev"))[:2] == [
        {"id": "0", "texts": ("a b",), "label": "yes"},
        {"id": "1", "texts": ("b",), "label": "no"},
    ]
    features = task.features(task.read("train"), info)
    assert [int(each.targets["labels"]) for each in features] == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("labels", "names"),
    [("10 9 -1 10", ("-1", "9", "10")), ("10 9 a b", ("10", "9", "a", "b"))],
)
def test_labels_that_are_numbers_are_in_their_order(make, tmp_path, labels, names) -> None:
    rows = "".join(f"a,{label}\n" for label in labels.split())
    task = make({"t.csv": f"text,label\n{rows}"}, train="t.csv", split={"dev": 0.5})
    assert task.setup(tmp_path).labels == names


def test_stated_labels_keep_their_order(make, tmp_path: Path, caplog) -> None:
    task = make({"t.csv": CLASSES}, train="t.csv", split={"dev": 0.5}, labels=("yes", "no", "so"))
    info = task.setup(tmp_path)
    assert (info.labels, info.label_counts) == (("yes", "no", "so"), (2, 2, 0))
    task = make({"t.csv": CLASSES + "e,odd\n"}, train="t.csv", dev="t.csv", labels=("yes", "no"))
    task.setup(tmp_path)
    assert len(task.read("train")) == 4
    assert caplog.messages[-1] == (
        f"{tmp_path}/t.csv: left out 1 malformed row of 5\n"
        '  line 6: label "odd" is none of "yes", "no"'
    )


def test_several_texts_and_ids(make: Make, tmp_path: Path) -> None:
    rows = "key,a,b,c,label\nk1,one,two,three,x\nk2,one,,3,y\n"
    task = make({"t.csv": rows}, train="t.csv", dev="t.csv", text=("a", "b", "c"), id_column="key")
    task.setup(tmp_path)
    assert list(task.read("dev")) == [
        {"id": "k1", "texts": ("one", "two three"), "label": "x"},
        {"id": "k2", "texts": ("one", "3"), "label": "y"},
    ]
    assert task.example({"key": 7, "a": "A", "b": "B", "c": None})["texts"] == ("A", "B")
    assert task.example({"text": "A", "text_pair": "B"}) == {"id": "", "texts": ("A", "B")}
    assert told(lambda: task.example({"a": "A", "b": "B"}), tmp_path) == (
        'task "table": the second text is missing\n  given: "a", "b"\n  accepted: "text_pair"'
    )


def test_columns_called_text_are_what_the_table_says(make: Make) -> None:
    task = make({}, train="t.csv", dev="d.csv", text=("title", "text"))
    assert task.example({"title": "A", "text": "B"})["texts"] == ("A", "B")
    assert task.example({"text": "A", "text_pair": "B", "id": 3}) == {
        "id": "3",
        "texts": ("A", "B"),
    }


def test_values(make: Make, tmp_path: Path, caplog) -> None:
    rows = "text\tlabel\na\t1\nb\t5\nc\t2.5\nd\t6\ne\t\n"
    task = make({"t.tsv": rows}, train="t.tsv", dev="t.tsv", value_range=(1.0, 5.0))
    info = task.setup(tmp_path)
    assert (info.labels, info.label_counts, info.value_range) == (None, None, (1.0, 5.0))
    examples = task.read("train")
    assert examples.labels == [1.0, 5.0, 2.5]
    assert caplog.messages[-1].splitlines()[1:] == [
        '  line 5: "6" is not a number from 1 to 5',
        '  line 6: no label in "label"',
    ]
    targets = [float(each.targets["labels"]) for each in task.features(examples, info)]
    assert targets == [0.0, 1.0, 0.375]
    assert list(task.score("dev", examples, [{"value": v} for v in (1.0, 5.0, 4.5)]))[-1] == "rmse"


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("text,label\na,y|x\nb, x \nc,\n", {"label": "label", "label_separator": "|"}),
        ("text,x,y\na,1,True\nb,1.0,false\nc,0,0\n", {"label": ("x", "y")}),
    ],
)
def test_several_labels_per_row(make: Make, tmp_path: Path, content, options) -> None:
    task = make({"t.csv": content}, train="t.csv", dev="t.csv", **options)
    info = task.setup(tmp_path)
    assert (info.labels, info.label_counts) == (("x", "y"), (2, 1))
    examples = task.read("dev")
    assert [example["label"] for example in examples] == [["x", "y"], ["x"], []]
    features = task.features(examples, info)
    targets = np.stack([each.targets["labels"] for each in features])
    assert targets.dtype == np.float32
    assert targets.tolist() == [[1, 1], [1, 0], [0, 0]]
    outputs = [
        [(feature, {"probabilities": np.array(row, np.float32)})]
        for feature, row in zip(features, [(0.75, 0.5), (0.25, 1), (0, 0)], strict=True)
    ]
    predictions = task.predict(examples, outputs, info)
    assert predictions[0] == {"id": "0", "labels": ["x"], "probabilities": {"x": 0.75, "y": 0.5}}
    assert [each["labels"] for each in predictions] == [["x"], ["y"], []]
    scores = task.score("dev", examples, predictions)
    assert list(scores) == ["micro_f1", "macro_f1", "exact_match"]
    assert scores["exact_match"] == pytest.approx(1 / 3)
    resampled = task.resampler("dev", examples, predictions)
    assert resampled(np.arange(3)) == scores
    assert task.baseline(examples)["exact_match"] == pytest.approx(1 / 3)  # "x" to everything
    (path,) = task.write("dev", examples, predictions, tmp_path / "out")
    assert path.name == "table.dev.tsv"
    assert path.read_text().splitlines()[1:] == ["0\tx", "1\ty", "2\t"]


def test_flags_that_are_none(make: Make, tmp_path: Path, caplog) -> None:
    content = "text,x,y\na,1,0\nb,0,1\nc,maybe,0\n"
    task = make({"t.csv": content}, train="t.csv", dev="t.csv", label=("x", "y"))
    task.setup(tmp_path)
    assert len(task.read("train")) == 2
    assert caplog.messages[-1].endswith('\n  line 4: "x" is "maybe", not 0 or 1')


def test_typed_cells_of_parquet(make: Make, tmp_path: Path, caplog) -> None:
    columns = {
        "text": ["a", "b", None, "d"],
        "label": [1, 0, 1, None],
        "score": [0.5, 1.0, 2.25, 3.0],
        "tags": [["x", "y"], [], ["y"], ["x"]],
        "flag": [True, False, True, False],
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "t.parquet")
    both: dict[str, Any] = {"train": "t.parquet", "dev": "t.parquet"}
    task = make({}, **both)
    assert task.setup(tmp_path).labels == ("0", "1")
    assert [example["texts"] for example in task.read("train")] == [("a",), ("b",), ("",)]
    assert caplog.messages[-1].endswith('\n  row 4: no label in "label"')
    task = make({}, **both, label="score", value_range=(0.0, 5.0))
    task.setup(tmp_path)
    assert task.read("train").labels == [0.5, 1.0, 2.25, 3.0]
    task = make({}, **both, label="tags", label_separator="|")
    assert task.setup(tmp_path).labels == ("x", "y")
    assert make({}, **both, label="flag").setup(tmp_path).labels == ("0", "1")
    task = make({}, **both, text="tags", label="flag")
    assert told(lambda: task.setup(tmp_path), tmp_path).endswith(
        '\n  row 4: "tags" is a list, not text'
    )


def test_rows_that_lack_a_key(make: Make, tmp_path: Path, caplog) -> None:
    rows = (
        '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n{"text": "c"}\n{"label": "x"}\n'
    )
    task = make({"t.jsonl": rows}, train="t.jsonl", dev="t.jsonl")
    task.setup(tmp_path)
    assert [example["id"] for example in task.read("dev")] == ["0", "1"]
    assert caplog.messages[-1].splitlines()[1:] == [
        '  line 3: it has no "label"',
        '  line 4: it has no "text"',
    ]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            "text,label\na,x\nb,x\n",
            {},
            't.csv: every row (2 rows) has the label "x": nothing to learn',
        ),
        (
            "text,label\na,2\nb,2.0\n",
            {"value_range": (0.0, 5.0)},
            "t.csv: every row (2 rows) has the value 2: nothing to learn",
        ),
        (
            "text,label\na,\nb,\n",
            {"label_separator": ";"},
            "t.csv: every row (2 rows) has no label: nothing to learn",
        ),
        (
            "text,label\n" + "".join(f"a,{n / 7}\n" for n in range(30)),
            {},
            't.csv: 30 different labels in 30 rows\n  for numbers state "value_range", for labels '
            'that are so many state "labels"',
        ),
        ("text,label\n", {}, "t.csv: the table has no rows"),
        ("texts,label\na,b\n", {}, 't.csv: no column "text"; it has: texts, label'),
        (
            "text,label\na,\n",
            {},
            't.csv: every row is malformed (1)\n  line 2: no label in "label"',
        ),
        (
            CLASSES,
            {"metrics": ("f1",)},
            'task "table": metric "f1" is of the label "1", which is none of no, yes\n'
            '  "macro_f1" is the mean over all labels',
        ),
        (
            CLASSES.replace(",", ";"),
            {},
            "t.csv: the cells are separated by semicolons, not by commas\n"
            '  state "delimiter": ";" (or ",", if it is so after all), '
            "or save the file with commas",
        ),
    ],
)
def test_what_cannot_be_learned_from(make: Make, tmp_path: Path, content, options, message) -> None:
    task = make({"t.csv": content}, train="t.csv", dev="t.csv", **options)
    assert told(lambda: task.setup(tmp_path), tmp_path) == message


def test_malformed_rows(make: Make, tmp_path: Path, caplog) -> None:
    bad = CLASSES + "e,yes,more\nf,new\n"
    options: dict[str, Any] = {"train": "t.csv", "dev": "d.csv", "test": "d.csv"}
    task = make({"t.csv": CLASSES, "d.csv": bad}, **options)
    task.setup(tmp_path)
    assert [example["id"] for example in task.read("dev")] == ["0", "1", "2", "3"]
    rows = '  line 6: 3 columns, the header has 2\n  line 7: label "new" is none of "no", "yes"'
    assert caplog.messages[-1] == f"{tmp_path}/d.csv: left out 2 malformed rows of 6\n{rows}"
    assert told(lambda: task.read("test"), tmp_path) == (
        f"d.csv: 2 malformed rows of 6\n{rows}\n"
        "  every row of a test file gets a prediction, so none can be left out"
    )
    task = make({}, **options, strict=True)
    task.setup(tmp_path)
    assert told(lambda: task.read("dev"), tmp_path) == (
        f"d.csv: 2 malformed rows of 6\n{rows}\n"
        "  such rows are left out with a warning unless --strict-data is set"
    )


def test_ids_are_unique(make: Make, tmp_path: Path, caplog) -> None:
    content = "id,text,label\n1,a,x\n2,b,y\n1,c,x\n"
    task = make({"t.csv": content}, train="t.csv", dev="t.csv", id_column="id")
    assert told(lambda: task.setup(tmp_path), tmp_path) == (
        't.csv: two rows have the id "1": line 2 and 4'
    )
    task = make(
        {"t.csv": content.replace("\n1,c", "\n,c")}, train="t.csv", dev="t.csv", id_column="id"
    )
    task.setup(tmp_path)
    task.read("dev")
    assert caplog.messages[-1].endswith("\n  line 4: its id is missing")


def test_rows_are_numbered_whatever_lines_they_take(make: Make, tmp_path: Path) -> None:
    content = 'text,label\n"a\nb",x\nbroken\nc,y\nd,x\n'
    task = make({"t.csv": content}, train="t.csv", dev="t.csv")
    task.setup(tmp_path)
    assert task.read("dev").ids == ["0", "2", "3"]


def test_labels_of_some_test_rows(make: Make, tmp_path: Path) -> None:
    files = {"t.csv": CLASSES, "x.csv": "text,label\na,yes\nb,\n"}
    task = make(files, train="t.csv", dev="t.csv", test="x.csv")
    task.setup(tmp_path)
    assert told(lambda: task.read("test"), tmp_path) == (
        "x.csv, line 3: no label, but others have one\n"
        "  leave the column out, or all of it empty, if the rows have none"
    )


@pytest.mark.parametrize("test", ["text\na\nb\n", "text,label\na,\nb,\n"])
def test_test_rows_need_no_labels(make: Make, tmp_path: Path, test: str) -> None:
    task = make({"t.csv": CLASSES, "x.csv": test}, train="t.csv", dev="t.csv", test="x.csv")
    info = task.setup(tmp_path)
    assert list(task.read("test"))[1] == {"id": "1", "texts": ("b",)}
    assert not task.features(task.read("test"), info)[0].targets


def test_shares_of_the_training_table(make: Make, tmp_path: Path) -> None:
    rows = "".join(f"w{n},{'rare' if n % 10 == 0 else 'often'}\n" for n in range(100))
    files = {"t.csv": f"text,label\n{rows}"}
    options: dict[str, Any] = {"train": "t.csv", "split": {"dev": 0.2, "test": 0.1}}
    task = make(files, **options)
    assert dict(task.splits) == {"train": "train", "dev": "dev", "test": "test"}
    task.setup(tmp_path)
    found = {split: task.read(split) for split in task.splits}
    assert {split: len(each) for split, each in found.items()} == {
        "train": 70,
        "dev": 20,
        "test": 10,
    }
    counts = {split: Counter(each.labels)["rare"] for split, each in found.items()}
    assert counts == {"train": 7, "dev": 2, "test": 1}
    ids = [id_ for each in found.values() for id_ in each.ids]
    assert sorted(map(int, ids)) == list(range(100))
    again = make(files, **options)
    again.setup(tmp_path)
    assert again.read("dev").ids == found["dev"].ids
    other = make(files, train="t.csv", split={"dev": 0.2, "test": 0.1, "seed": 14})
    other.setup(tmp_path)
    assert other.read("dev").ids != found["dev"].ids


def test_a_share_of_too_few_rows(make: Make, tmp_path: Path) -> None:
    task = make({"t.csv": CLASSES}, train="t.csv", split={"dev": 0.2})
    task.setup(tmp_path)
    assert told(lambda: task.read("dev"), tmp_path) == (
        't.csv: "split" leaves no row of 4 rows for dev'
    )


def test_missing_tables(make: Make, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "t.csv").write_text(CLASSES)
    task = make({}, train=str(tmp_path / "t.csv"), split={"dev": 0.5})
    assert told(lambda: task.setup(data), tmp_path).replace(str(tmp_path), "HERE") == (
        't.csv: no such file, task "table" needs it\n'
        "  HERE holds: data\n"
        "  data/t.csv is there: a path in a recipe is relative to the recipe's own folder"
    )


def test_a_task_that_uses_another_needs_no_training_table(make: Make, tmp_path: Path) -> None:
    owner = make({"t.csv": CLASSES, "d.csv": CLASSES}, train="t.csv", dev="t.csv")
    info = owner.setup(tmp_path)
    task = make({}, dev="d.csv", trains=False)
    assert task.setup(tmp_path).labels is None
    examples = task.read("dev")
    assert [int(each.targets["labels"]) for each in task.features(examples, info)] == [1, 0, 1, 0]
    (tmp_path / "d.csv").write_text("text,label\na,new\n")
    assert told(lambda: task.features(task.read("dev"), info), tmp_path) == (
        'unknown label "new"; accepted: "no", "yes"'
    )


def test_the_fingerprint_follows_data_and_options(make: Make, tmp_path: Path) -> None:
    files = {"t.csv": CLASSES, "u.csv": CLASSES}
    first = make(files, train="t.csv", dev="t.csv").setup(tmp_path).fingerprint
    assert make({}, train="u.csv", dev="t.csv").setup(tmp_path).fingerprint == first
    other = make({}, train="t.csv", dev="t.csv", labels=("yes", "no"))
    assert other.setup(tmp_path).fingerprint != first
    (tmp_path / "t.csv").write_text(CLASSES + "e,no\n")
    assert make({}, train="t.csv", dev="t.csv").setup(tmp_path).fingerprint != first


def test_setup_forgets_other_data(make: Make, tmp_path: Path) -> None:
    task = make({"t.csv": CLASSES}, train="t.csv", dev="t.csv")
    assert task.setup(tmp_path).labels == ("no", "yes")
    (tmp_path / "t.csv").write_text("text,label\na,x\nb,y\n")
    assert task.setup(tmp_path).labels == ("x", "y")
