from __future__ import annotations

import json

import pytest

from bertmod.data.tables import write_answers, write_predictions
from bertmod.errors import DataError

CLASSES = [
    {"id": "7", "label": "neutral", "probabilities": {"neutral": 0.75, "entailment": 0.25}},
    {"id": "9", "label": "entailment", "probabilities": {"neutral": 0.25, "entailment": 0.75}},
]


def test_predictions_as_tsv(tmp_path) -> None:
    path = write_predictions(tmp_path / "y.tsv", CLASSES)
    assert path.read_bytes() == b"index\tprediction\n7\tneutral\n9\tentailment\n"
    write_predictions(path, [{"id": "0", "value": 2.34567}, {"id": "1", "value": 5.0}])
    assert path.read_bytes() == b"index\tprediction\n0\t2.346\n1\t5.000\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["y.tsv"]


def test_predictions_as_jsonl(tmp_path) -> None:
    path = write_predictions(tmp_path / "y.jsonl", CLASSES)
    assert [json.loads(line) for line in path.read_text().splitlines()] == CLASSES


def test_predictions_that_cannot_be_written(tmp_path) -> None:
    with pytest.raises(DataError, match=r"y\.csv: output files end in \.tsv, \.json, \.jsonl$"):
        write_predictions(tmp_path / "y.csv", CLASSES)
    with pytest.raises(DataError, match=r"^'a\\tb' has a tab or a line end: write \.jsonl inst"):
        write_predictions(tmp_path / "y.tsv", [{"id": "a\tb", "label": "0"}])
    with pytest.raises(DataError, match=r"y\.tsv: cannot be written: No such file or directory$"):
        write_predictions(tmp_path / "none" / "y.tsv", CLASSES)
    assert not list(tmp_path.iterdir())


ANSWERS = [
    {"id": "a", "labels": ["x", "y"], "probabilities": {"x": 0.9, "y": 0.8}},
    {"id": "b", "words": ["A", "cat"], "tags": ["O", "B-CAT"], "probabilities": [0.9, 0.8]},
    {"id": "c", "choice": 1, "text": "No.", "probabilities": [0.2, 0.8]},
    {"id": "d", "text": "two\nlines\there", "probability": 0.5, "start": 0, "end": 14},
    {"id": "e", "text": "", "probability": 1.0, "start": None, "end": None},
    {"id": "f", "value": 2.34567},
]


def test_answers_of_every_kind_as_tsv(tmp_path) -> None:
    path = write_predictions(tmp_path / "y.tsv", ANSWERS)
    assert path.read_text().splitlines() == [
        "index\tprediction",
        "a\tx|y",
        "b\tO B-CAT",
        "c\t1",
        "d\ttwo lines here",
        "e\t",
        "f\t2.346",
    ]


def test_answers_by_id_as_json(tmp_path) -> None:
    path = write_predictions(tmp_path / "y.json", ANSWERS)
    assert json.loads(path.read_text()) == {
        "a": ["x", "y"],
        "b": ["O", "B-CAT"],
        "c": 1,
        "d": "two\nlines\there",
        "e": "",
        "f": 2.34567,
    }
    write_predictions(path, [{"id": "q", "text": "caf\u00e9"}])
    assert path.read_bytes() == b'{\n    "q": "caf\\u00e9"\n}\n'
    with pytest.raises(DataError, match=r'^two rows are called "q": write \.jsonl instead$'):
        write_predictions(path, [{"id": "q", "text": "1"}, {"id": "q", "text": "2"}])


def test_answers_of_several_tasks(tmp_path) -> None:
    ids, tags, choices = ["0"], [ANSWERS[1]], [ANSWERS[2]]
    write_answers(tmp_path / "y.tsv", ids, {"ner": tags, "swag": choices})
    assert (tmp_path / "y.tsv").read_text() == "index\tner\tswag\n0\tO B-CAT\t1\n"
    write_answers(tmp_path / "y.jsonl", ids, {"ner": tags, "swag": choices})
    assert json.loads((tmp_path / "y.jsonl").read_text()) == {
        "index": "0",
        "ner": {
            "prediction": ["O", "B-CAT"],
            "words": ["A", "cat"],
            "probabilities": [0.9, 0.8],
        },
        "swag": {"prediction": 1, "text": "No.", "probabilities": [0.2, 0.8]},
    }
    with pytest.raises(DataError, match=r"y\.json: output files end in \.tsv, \.jsonl$"):
        write_answers(tmp_path / "y.json", ids, {"ner": tags})


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch) -> None:
    def interrupt(descriptor: int) -> None:
        raise KeyboardInterrupt

    path = write_predictions(tmp_path / "y.tsv", CLASSES)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_predictions(path, ANSWERS)
    assert [entry.name for entry in tmp_path.iterdir()] == ["y.tsv"]
    assert path.read_bytes() == before
