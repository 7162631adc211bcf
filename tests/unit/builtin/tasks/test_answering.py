"""From examples to features, and from outputs to predictions, scores and files."""

from __future__ import annotations

import numpy as np
import pytest

from bertmod import DataError, TaskInfo
from bertmod.builtin.tasks.sentences import task as sentences
from bertmod.builtin.tasks.sentences.examples import SentenceExamples
from bertmod.data.features import FeatureTable


def outputs(task, examples, info, **arrays):
    """What an engine hands back: each example's feature with what a head decoded of it."""
    features = task.features(examples, info, ())
    return [
        [(feature, {name: np.asarray(values[i]) for name, values in arrays.items()})]
        for i, feature in enumerate(features)
    ]


def test_features_of_classes(make_task, data) -> None:
    task = make_task("mnli")
    info = task.setup(data)
    table = task.features(task.read("train"), info, ())
    assert isinstance(table, FeatureTable)
    assert [int(feature.targets["labels"]) for feature in table] == [2, 1]
    assert table.targets["labels"].values.dtype == np.int64
    assert table.example.tolist() == [0, 1]
    assert table[0].rows[0]["input_ids"].tolist() == [2, 5, 3, 6, 3]
    assert table[0].rows[0]["token_type_ids"].tolist() == [0, 0, 0, 1, 1]


def test_label_indices_follow_the_names_that_the_head_keeps(make_task, data) -> None:
    task = make_task("mnli")
    task.setup(data)
    info = TaskInfo(labels=("entailment", "neutral", "contradiction"))
    table = task.features(task.read("train"), info, ())
    assert table.targets["labels"].values.tolist() == [1, 0]
    with pytest.raises(DataError, match=r'^unknown label "neutral"; accepted: "entailment"$'):
        task.features(task.read("train"), TaskInfo(labels=("entailment",)), ())


def test_features_of_values(make_task, data) -> None:
    task = make_task("stsb")
    info = task.setup(data)
    labels = task.features(task.read("train"), info, ()).targets["labels"].values
    assert labels.dtype == np.float32
    assert labels.tolist() == [0.5, 0.0, 1.0]


@pytest.mark.parametrize("chunk", [1, 2, 16384])
def test_features_do_not_depend_on_chunks(make_task, data, monkeypatch, chunk) -> None:
    monkeypatch.setattr(sentences, "_CHUNK", chunk)
    task = make_task("cola", max_length=3)
    info = task.setup(data)
    table = task.features(task.read("train"), info, ())
    assert table.example.tolist() == [0, 1, 2]
    assert table.lengths.tolist() == [3, 3, 3]
    assert table.targets["labels"].values.tolist() == [1, 0, 1]


def test_features_without_labels_and_of_nothing(make_task, data) -> None:
    task = make_task("cola")
    info = task.setup(data)
    assert task.features(task.read("test"), info, ())[0].targets == {}
    assert len(task.features([], info, ())) == 0


def test_features_of_plain_mappings(make_task, data) -> None:
    task = make_task("cola")
    info = task.setup(data)
    table = task.features(list(task.read("train")), info, ())
    again = task.features(task.read("train"), info, ())
    assert table.tokens["input_ids"].tolist() == again.tokens["input_ids"].tolist()
    mixed = [{"id": "0", "texts": ("a",)}, {"id": "1", "texts": ("b",), "label": "1"}]
    with pytest.raises(ValueError, match="all a label or none"):
        task.features(mixed, info, ())


def test_predictions_of_classes(make_task, data) -> None:
    task = make_task("cola")
    info = task.setup(data)
    examples = task.read("test")
    given = outputs(task, examples, info, probabilities=np.float32([[0.25, 0.75], [0.5, 0.5]]))
    assert task.predict(examples, given, info) == [
        {"id": "10", "label": "1", "probabilities": {"0": 0.25, "1": 0.75}},
        {"id": "11", "label": "0", "probabilities": {"0": 0.5, "1": 0.5}},
    ]
    assert task.predict([], [], info) == []
    assert task.calibrate(examples, given, info) is info
    with pytest.raises(ValueError, match=r"^1 outputs for 2 examples$"):
        task.predict(examples, given[:1], info)


def test_predictions_of_values_are_clipped_and_scaled_back(make_task, data) -> None:
    task = make_task("stsb")
    info = task.setup(data)
    examples = task.read("dev")
    given = outputs(task, examples, info, value=np.float32([0.5, -0.25, 1.5]))
    assert task.predict(examples, given, info) == [
        {"id": "3", "value": 2.5},
        {"id": "4", "value": 0.0},
        {"id": "7", "value": 5.0},
    ]


def test_scores_and_baseline_of_classes(make_task, data) -> None:
    task = make_task("cola")
    task.setup(data)
    examples = task.read("dev")
    right = [{"id": example["id"], "label": example["label"]} for example in examples]
    assert task.score("dev", examples, right) == {"matthews": 1.0, "accuracy": 1.0}
    assert task.baseline(examples) == {"matthews": 0.0, "accuracy": pytest.approx(2 / 3)}
    tied = SentenceExamples(["0", "1"], (["a", "b"],), ["1", "0"])
    assert task.baseline(tied)["accuracy"] == 0.5


def test_the_baseline_of_f1_is_that_of_the_majority(make_task) -> None:
    labels = ["1", "1", "0"]
    baseline = make_task("mrpc").baseline(SentenceExamples(list("abc"), (["a"] * 3,) * 2, labels))
    assert baseline == {"accuracy": pytest.approx(2 / 3), "f1": pytest.approx(0.8)}


def test_scores_and_baseline_of_values(make_task, data) -> None:
    task = make_task("stsb")
    task.setup(data)
    examples = task.read("dev")
    predictions = [{"id": "3", "value": 2.0}, {"id": "4", "value": 1.0}, {"id": "7", "value": 4.0}]
    expected = np.corrcoef([2.5, 0, 5], [2, 1, 4])[0, 1]
    assert task.score("dev", examples, predictions) == {
        "pearson": pytest.approx(expected),
        "spearman": pytest.approx(1.0),
    }
    assert task.baseline(examples) == {"pearson": 0.0, "spearman": 0.0}


def test_test_splits_have_no_score(make_task, data) -> None:
    task = make_task("cola")
    task.setup(data)
    with pytest.raises(DataError, match=r'^task "cola": split "test" has no labels to score agai'):
        task.score("test", task.read("test"), [])
    with pytest.raises(DataError, match="examples without labels have no baseline"):
        task.baseline(task.read("test"))


def test_submission_files(make_task, data, tmp_path) -> None:
    folder = tmp_path / "out" / "submission"
    written = []
    for name, split, answers in (
        ("mnli", "test_matched", [{"label": "neutral"}, {"label": "entailment"}]),
        ("mnli", "test_mismatched", [{"label": "contradiction"}, {"label": "neutral"}]),
        ("stsb", "test", [{"value": 1.23456}, {"value": 5.0}]),
        ("cola", "dev", [{"label": "1"}] * 3),
    ):
        task = make_task(name)
        task.setup(data)
        examples = task.read(split)
        given = [{"id": e["id"], **answer} for e, answer in zip(examples, answers, strict=True)]
        written += task.write(split, examples, given, folder)
    assert {path.name: path.read_bytes() for path in written} == {
        "MNLI-m.tsv": b"index\tprediction\n5\tneutral\n6\tentailment\n",
        "MNLI-mm.tsv": b"index\tprediction\n5\tcontradiction\n6\tneutral\n",
        "STS-B.tsv": b"index\tprediction\n0\t1.235\n1\t5.000\n",
        "cola.dev.tsv": b"index\tprediction\n0\t1\n1\t1\n2\t1\n",
    }
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in written)


@pytest.mark.parametrize(
    ("ids", "what"),
    [
        (["10"], "1 predictions for 2 rows"),
        (["10", "12"], 'prediction 1 is for "12", row 1 is "11"'),
    ],
)
def test_incomplete_submissions_are_refused(make_task, data, tmp_path, ids, what) -> None:
    task = make_task("cola")
    task.setup(data)
    predictions = [{"id": id, "label": "1"} for id in ids]
    examples = task.read("test")[: len(ids)]
    with pytest.raises(DataError) as caught:
        task.write("test", examples, predictions, tmp_path / "out")
    expected = f'task "cola", split "test": {what}\n  nothing was written'
    assert str(caught.value) == expected
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made(make_task, data) -> None:
    task = make_task("ax")
    task.setup(data)
    predictions = [{"id": "0", "label": "neutral"}]
    blocked = data / "diagnostic" / "diagnostic.tsv" / "out"
    with pytest.raises(DataError, match=r"out: cannot be made: Not a directory$"):
        task.write("test", task.read("test"), predictions, blocked)
