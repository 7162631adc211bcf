"""What the task reads, and what it says of folders that it cannot use."""

from __future__ import annotations

import logging
import shutil

import numpy as np
import pytest

from bertmod import DataError, TaskInfo
from bertmod_textfile.plugin import TextfileConfig, check, num_labels, splits

LABELS = ("blame", "praise", "shrug")


def refused(action) -> str:
    with pytest.raises(DataError) as caught:
        action()
    return str(caught.value)


def test_label_names_are_folder_names(make, tree) -> None:
    task = make()
    info = task.setup(tree)
    assert info.labels == LABELS
    train, dev, test = (task.read(split) for split in ("train", "dev", "test"))
    assert (len(train), len(dev), len(test)) == (24, 9, 5)
    assert [example["id"] for example in dev][:4] == [
        *("blame/0.txt", "blame/1.txt", "blame/2.txt", "praise/0.txt")
    ]
    assert {example["id"].partition("/")[0] == example["label"] for example in train} == {True}
    assert test[0].keys() == {"id", "text"}
    assert test[0]["id"] == "0.txt"


def test_stated_labels_give_the_order_and_leave_other_folders_alone(make, tree) -> None:
    task = make(labels=("praise", "blame"))
    assert task.setup(tree).labels == ("praise", "blame")
    assert {example["label"] for example in task.read("train")} == {"praise", "blame"}
    assert len(task.files(tree, "train")) == 16


def test_the_layout_of_the_imdb_reviews(make, tree) -> None:
    """Train and test have labels, and train a folder of texts without any."""
    shutil.rmtree(tree / "reviews/test")
    (tree / "reviews/dev").rename(tree / "reviews/test")
    (tree / "reviews/train/shrug").rename(tree / "reviews/train/unsup")
    shutil.rmtree(tree / "reviews/test/shrug")
    task = make(labels=("blame", "praise"), dev="test", test=None)
    task.setup(tree)
    assert (len(task.read("train")), len(task.read("dev"))) == (16, 6)
    assert set(splits(TextfileConfig(test=None))) == {"train", "dev"}
    assert refused(lambda: task.read("test")) == (
        'task "reviews" has no split "test"; it has: train, dev'
    )


def test_features(make, tree) -> None:
    task = make()
    info = task.setup(tree)
    examples = task.read("dev")
    features = task.features(examples, info, ())
    assert [feature.example for feature in features] == list(range(9))
    assert [int(feature.targets["labels"]) for feature in features] == [0] * 3 + [1] * 3 + [2] * 3
    assert features[0].targets["labels"].dtype == np.int64
    assert features[0].rows[0]["input_ids"][0] == 2  # [CLS]
    assert len(features[0].rows[0]["input_ids"]) == 7
    without = task.features(task.read("test"), info, ())
    assert without[0].targets == {}
    other = TaskInfo(labels=("blame", "praise"))
    assert refused(lambda: task.features(examples, other, ())) == (
        'task "reviews": unknown label "shrug"; accepted: "blame", "praise"'
    )


def test_predictions_scores_and_baseline(make, tree, tmp_path) -> None:
    task = make()
    info = task.setup(tree)
    examples = task.read("dev")
    features = task.features(examples, info, ())
    given = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 1, 1, 2, 0, 2]]
    outputs = [
        [(feature, {"probabilities": row})] for feature, row in zip(features, given, strict=True)
    ]
    predictions = task.predict(examples, outputs, info)
    assert predictions[2] == {
        "id": "blame/2.txt",
        "label": "praise",
        "probabilities": {"blame": 0.0, "praise": 1.0, "shrug": 0.0},
    }
    assert task.score("dev", examples, predictions) == {"accuracy": 7 / 9}
    assert task.baseline(examples) == {"accuracy": 1 / 3}
    assert task.calibrate(examples, outputs, info) is info
    (path,) = task.write("dev", examples, predictions, tmp_path / "new")
    assert path.name == "reviews.dev.tsv"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert (len(lines), lines[0], lines[3]) == (10, "file\tprediction", "blame/2.txt\tpraise")
    odd = [{**predictions[0], "id": "a\tb.txt"}]
    assert "has a tab or a line end in it" in refused(
        lambda: task.write("dev", examples, odd, tmp_path)
    )
    odd = [{**predictions[0], "id": "\udcff.txt"}]  # how Python spells the file name b"\xff.txt"
    assert refused(lambda: task.write("dev", examples, odd, tmp_path)) == (
        f"{tmp_path}/reviews.dev.tsv: the file name '\\udcff.txt' is not UTF-8: rename the file"
    )


def test_an_example_from_fields(make) -> None:
    task = make()
    assert task.example({"text": "it was fine", "index": 3}) == {"id": "3", "text": "it was fine"}
    assert refused(lambda: task.example({"sentence": "it"})) == (
        'task "reviews": the text is missing\n  given: "sentence"\n  accepted: "text"'
    )
    assert refused(lambda: task.example({"text": 7})) == (
        'task "reviews": "text" must be text, not int'
    )


def test_missing_folders_are_named_together(make, tree) -> None:
    task, root = make(folder="review"), tree / "review"
    assert refused(lambda: task.setup(tree)) == (
        f'{root}/train: no such folder, task "reviews" needs it\n'
        f'  {root}/dev: no such folder, task "reviews" needs it\n'
        f"  {tree} holds: reviews"
    )


def test_folders_of_labels(make, tree) -> None:
    train, dev = tree / "reviews/train", tree / "reviews/dev"
    assert refused(lambda: make(labels=("praise", "blam")).setup(tree)) == (
        f'{train}/blam: no such folder, task "reviews" needs it\n'
        f"  {train} holds: blame, praise, shrug"
    )
    shutil.rmtree(train / "shrug")
    assert refused(lambda: make().setup(tree)) == (
        f"{dev}: no training texts for the label shrug\n  {train} has: blame, praise"
    )
    (train / "shrug").mkdir()
    assert refused(lambda: make().setup(tree)) == f"{train}: no .txt files for the label shrug"
    shutil.rmtree(train / "shrug")
    shutil.rmtree(train / "praise")
    assert refused(lambda: make().setup(tree)) == (
        f'{train}: task "reviews" needs at least two folders here, one for each label\n'
        "  found: blame"
    )


def test_a_split_without_texts(make, tree) -> None:
    task = make()
    task.setup(tree)
    shutil.rmtree(tree / "reviews/test")
    assert refused(lambda: task.read("test")) == (
        f'{tree}/reviews/test: no such folder, task "reviews" needs it\n'
        f"  {tree}/reviews holds: dev, train"
    )
    (tree / "reviews/test").mkdir()
    assert refused(lambda: task.read("test")) == (
        f'{tree}/reviews/test: task "reviews" needs .txt files here, there are none'
    )


def spoil(folder) -> None:
    """One file without text, one that is not UTF-8."""
    (folder / "praise/1.txt").write_bytes(b" \r\n")
    (folder / "praise/2.txt").write_bytes(b"the \xe9")


TOLD = (
    "2 malformed files of 24\n"
    "  praise/1.txt: the file is empty\n"
    "  praise/2.txt: not UTF-8 (0xe9 at byte 5)"
)


def test_malformed_files_are_left_out_with_one_warning(make, tree, caplog) -> None:
    spoil(tree / "reviews/train")
    task = make()
    task.setup(tree)
    with caplog.at_level(logging.WARNING, "bertmod"):
        assert len(task.read("train")) == 22
    assert caplog.messages == [f"{tree}/reviews/train: left out {TOLD}"]


def test_malformed_files_are_errors_where_data_is_strict(make, tree) -> None:
    spoil(tree / "reviews/train")
    task = make(strict=True)
    task.setup(tree)
    assert refused(lambda: task.read("train")) == (
        f"{tree}/reviews/train: {TOLD}\n"
        "  such files are left out with a warning unless --strict-data is set"
    )


def test_a_malformed_test_file_is_always_an_error(make, tree) -> None:
    (tree / "reviews/test/3.txt").write_bytes(b"")
    task = make()
    task.setup(tree)
    assert refused(lambda: task.read("test")) == (
        f"{tree}/reviews/test: 1 malformed file of 5\n"
        "  3.txt: the file is empty\n"
        "  every file of a test folder gets a prediction, so none can be left out"
    )


def test_nothing_but_malformed_files(make, tree) -> None:
    for path in (tree / "reviews/test").iterdir():
        path.write_bytes(b"")
    task = make()
    task.setup(tree)
    message = refused(lambda: task.read("test"))
    assert message.startswith(f"{tree}/reviews/test: every file is malformed (5)\n  0.txt: the")


def test_an_unreadable_file(make, tree) -> None:
    path = tree / "reviews/train/praise/3.txt"
    path.unlink()
    path.symlink_to("nowhere")
    assert refused(lambda: make().setup(tree)) == (
        f"{path}: cannot be read: No such file or directory"
    )


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-8", "\u00e9t\u00e9".encode()),
        ("utf-8", b"\xef\xbb\xbf" + "\u00e9t\u00e9".encode()),
        ("utf-16", "\u00e9t\u00e9".encode("utf-16")),
        ("latin-1", b"\xe9t\xe9"),
        ("cp1252", b"\xe9t\xe9"),
    ],
)
def test_encodings(make, tree, encoding, content) -> None:
    for path in (tree / "reviews").rglob("*.txt"):
        path.write_bytes(content)
    task = make(encoding=encoding)
    task.setup(tree)
    assert {example["text"] for example in task.read("train")} == {"\u00e9t\u00e9"}


def test_the_fingerprint_follows_texts_and_labels(make, tree) -> None:
    first = make().setup(tree).fingerprint
    assert make().setup(tree).fingerprint == first
    train = tree / "reviews/train"
    (train / "blame/7.txt").rename(train / "praise/00.txt")
    moved = make().setup(tree).fingerprint
    (train / "praise/00.txt").write_text("it was so", encoding="utf-8")
    assert len({first, moved, make().setup(tree).fingerprint}) == 3


def test_options_that_cannot_be() -> None:
    config = TextfileConfig(folder="../x", dev="train", labels=("a", "b/c", "a"))
    assert [(problem.path, problem.what) for problem in check(config)] == [
        ("folder", '"../x" is no path inside the data folder'),
        ("", "two splits are read from the same folder"),
        ("labels[1]", '"b/c" is no name of a folder'),
        ("labels[2]", '"a" is listed twice'),
    ]
    (above,) = check(TextfileConfig(labels=("a", "..")))
    assert (above.path, above.what) == ("labels[1]", '".." is no name of a folder')
    assert check(TextfileConfig()) == ()
    assert (num_labels(TextfileConfig()), num_labels(TextfileConfig(labels=("a", "b")))) == (
        *(None, 2),
    )
