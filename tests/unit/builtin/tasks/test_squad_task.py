"""The task from a data folder to scores: windows, answers, thresholds, files."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertmod import DataError, TaskContext, TaskInfo
from bertmod.builtin.tasks.spans.answers import CERTAIN, NONCE
from bertmod.builtin.tasks.spans.config import SQUAD, SquadConfig, splits
from bertmod.builtin.tasks.spans.features import NOWHERE
from bertmod.builtin.tasks.spans.table import span_table_task
from bertmod.builtin.tasks.spans.table_config import SpanTableConfig
from bertmod.builtin.tasks.spans.task import squad_task
from bertmod.engine.evaluate import outputs_by_example

CONTEXT = "a b  C.\u202fd e f g h"
TEXTS = {"question": "a b?", "context": CONTEXT}


@pytest.fixture
def make(tokenizer):
    """Builds the task."""

    def build(max_length: int = 16, **options: Any):
        config = SquadConfig(**{"max_query_length": 4, "doc_stride": 3, **options})
        return squad_task(config, TaskContext("squad", tokenizer, max_length, {}))

    return build


def example(text: str | None = "d", **changed: Any) -> dict[str, Any]:
    answers = [] if text is None else [{"text": text, "answer_start": CONTEXT.find(text)}]
    return {"id": "q", **TEXTS, "answers": answers, **changed}


def outputs(task, examples, *, start: Any = (), end: Any = ()):
    """What a head decodes that gives each (example, window, piece of the context) its score."""
    table = task.features(examples, TaskInfo())
    decoded = []
    for number, feature in enumerate(table):
        tokens = len(feature.rows[0]["input_ids"])
        shift = tokens - 1 - len(feature.host["words"])
        arrays = {name: np.zeros(tokens, np.float32) for name in ("start_logits", "end_logits")}
        for name, given in (("start_logits", start), ("end_logits", end)):
            for window, piece, value in given:
                if window == number:
                    arrays[name][shift + piece if piece is not None else 0] = value
        decoded.append(arrays)
    return outputs_by_example(len(examples), table, decoded)


def test_a_question_is_cut_and_windows_overlap(make) -> None:
    task = make(max_length=11)
    table = task.features([example(question="a b c d e f")], TaskInfo())
    assert table.host["words"][0].tolist() == [0, 1, 2, 2]  # a b c .
    assert [feature.host["words"][0] for feature in table] == [0, 2, 5]
    assert set(table.row_lengths.tolist()) == {11, 10}
    assert not table.host["truncated"].values.any(), "a window loses nothing to the length of rows"


def test_targets(make) -> None:
    task = make(max_length=11)
    table = task.features([example("d"), example("b  C"), example(None), example("x")], TaskInfo())
    shift = 2 + 3  # [CLS] a b [UNK] [SEP]
    starts = table.positions["start"].values
    assert starts[table.example == 0].tolist() == [shift + 4, shift + 1, 0]
    assert starts[table.example == 1].tolist() == [shift + 1, 0, 0]
    ends = table.positions["end"].values
    assert ends[table.example == 1].tolist() == [shift + 2, 0, 0]  # the full stop is left out
    assert not starts[table.example == 2].any()
    assert (starts[table.example == 3] == NOWHERE).all()


def test_examples_without_answers_have_no_targets(make) -> None:
    task = make()
    bare = task.example({"text": "a?", "text_pair": CONTEXT, "id": 7})
    assert bare == {"id": "7", "question": "a?", "context": CONTEXT}
    table = task.features([bare], TaskInfo())
    assert not table.positions
    assert not table.targets
    with pytest.raises(ValueError, match="all have answers or all have none"):
        task.features([bare, example()], TaskInfo())


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"question": "a"},
            'task "squad": the second text is missing\n  given: "question"\n'
            '  accepted: "context" or "passage" or "text_pair"',
        ),
        (
            {"question": "a", "text": "b", "context": "c"},
            'task "squad": the text is given twice: as "question" or "text"',
        ),
        ({"question": 1, "context": "c"}, 'task "squad": "question" must be text, not int'),
    ],
)
def test_examples_that_lack_something(make, fields, told) -> None:
    with pytest.raises(DataError) as caught:
        make().example(fields)
    assert str(caught.value) == told


def test_rows_without_room(make, tokenizer) -> None:
    assert SQUAD.min_length(SquadConfig()) == 68
    with pytest.raises(DataError) as caught:
        squad_task(SquadConfig(), TaskContext("squad", tokenizer, 67, {}))
    assert str(caught.value) == (
        'task "squad": rows of 67 tokens have no room for a text behind a question of 64 pieces\n'
        "  set max_length to 68 or more, or max_query_length to less"
    )
    assert make(max_length=8)


def test_an_answer_has_its_place_in_the_context(make) -> None:
    task, examples = make(), [example()]
    decoded = outputs(task, examples, start=[(0, 1, 5)], end=[(0, 2, 4)])
    (found,) = task.predict(examples, decoded, TaskInfo())
    assert found["text"] == "b C"  # two spaces and a capital in the context
    assert CONTEXT[found["start"] : found["end"]] == "b  C"
    assert found["probability"] == found["nbest"][0]["probability"]
    assert found["nbest"][0] == {
        "text": "b C",
        "probability": found["probability"],
        "start_logit": 5.0,
        "end_logit": 4.0,
    }
    assert "null_odds" not in found


def test_ties_go_to_the_first_window_start_and_end(make) -> None:
    task, examples = make(n_best_size=3, max_answer_length=2), [example()]
    (found,) = task.predict(examples, outputs(task, examples), TaskInfo())
    assert [entry["text"] for entry in found["nbest"]] == [NONCE]
    task = make(n_best_size=9, max_answer_length=2)
    (found,) = task.predict(examples, outputs(task, examples), TaskInfo())
    assert [entry["text"] for entry in found["nbest"]][:3] == ["a", "a b", "b"]


@pytest.mark.parametrize(("version", "odds"), [("1.1", {}), ("2.0", {"null_odds": CERTAIN})])
def test_an_empty_context_is_answered_with_nothing(make, version, odds) -> None:
    task, examples = make(version=version), [example(context=" \n ")]
    assert len(task.features(examples, TaskInfo())) == 0
    nothing = {"text": "", "probability": 1.0}
    assert task.predict(examples, [[]], TaskInfo()) == [
        {
            **{"id": "q", **nothing, "start": None, "end": None, **odds},
            "nbest": [{**nothing, "start_logit": 0.0, "end_logit": 0.0}],
        }
    ]


def test_no_answer_alone_is_certain(make) -> None:
    """The original fails here."""
    task, examples = make(version="2.0", n_best_size=1), [example()]
    decoded = outputs(task, examples, start=[(0, None, 3)], end=[(0, None, 3)])
    (found,) = task.predict(examples, decoded, TaskInfo())
    assert (found["text"], found["probability"], found["null_odds"]) == ("", 1.0, CERTAIN)
    assert len(found["nbest"]) == 1


def test_thresholds(make) -> None:
    task, examples = make(version="2.0"), [example()]
    decoded = outputs(task, examples, start=[(0, 1, 2), (0, None, 3)], end=[(0, 1, 2)])
    (found,) = task.predict(examples, decoded, TaskInfo())
    assert (found["text"], found["null_odds"]) == ("b", -1.0)
    (strict,) = task.predict(examples, decoded, TaskInfo(calibration={"null_threshold": -1.5}))
    assert (strict["text"], strict["start"], strict["end"]) == ("", None, None)
    empty = next(entry for entry in strict["nbest"] if not entry["text"])
    assert strict["probability"] == empty["probability"]
    stated = make(version="2.0", null_threshold=-1.0)
    info = TaskInfo(calibration={"null_threshold": -9.0})
    assert stated.predict(examples, decoded, info)[0]["text"] == "b"
    assert stated.calibrate(examples, decoded, info) is info
    (problem,) = SQUAD.check(SquadConfig(null_threshold=1.0))
    assert problem.path == "null_threshold"


def test_calibration(make) -> None:
    task = make(version="2.0")
    examples = [example("b", id="1"), example(None, id="2"), example("C", id="3")]
    scores = [(0, 1, 4), (1, 1, 1), (2, 0, 1)]  # right; no answer there; wrong
    decoded = outputs(task, examples, start=scores, end=scores)
    info = task.calibrate(examples, decoded, TaskInfo())
    assert info.calibration == {"null_threshold": -8.0}
    texts = [each["text"] for each in task.predict(examples, decoded, info)]
    assert texts == ["b", "", ""]
    assert task.calibrate([], [], info) is info
    first = make()
    assert first.calibrate(examples, decoded, TaskInfo()) == TaskInfo()


def test_scores(make) -> None:
    task, first = make(version="2.0"), make()
    examples = [example("b"), example(None), example("C. d")]
    given = [{"id": "q", "text": text} for text in ("b", "b", "d")]
    found = task.score("dev", examples, given)
    assert found == {
        **{"f1": pytest.approx((1 + 0 + 2 / 3) / 3), "exact": pytest.approx(1 / 3)},
        **{"has_answer_f1": pytest.approx(5 / 6), "has_answer_exact": 0.5},
        **{"no_answer_f1": 0.0, "no_answer_exact": 0.0},
    }
    resampled = task.resampler("dev", examples, given)
    assert resampled(np.arange(3)) == found
    assert resampled(np.array([0, 0])) == {
        **dict.fromkeys(("f1", "exact", "has_answer_f1", "has_answer_exact"), 1.0),
        **dict.fromkeys(("no_answer_f1", "no_answer_exact"), 0.0),
    }
    assert task.baseline(examples)["no_answer_f1"] == 1.0
    assert task.baseline(examples)["f1"] == pytest.approx(1 / 3)
    assert first.baseline(examples[:1]) == {"f1": 0.0, "exact": 0.0}
    bare = first.example(TEXTS)
    with pytest.raises(DataError, match='split "dev" has no answers to score against'):
        first.score("dev", [bare], given[:1])


def write_files(folder: Path, version: str = "1.1") -> Path:
    for split in ("train", "dev", "test"):
        own = {key: value for key, value in example().items() if key != "context"}
        whole = {"data": [{"paragraphs": [{"context": CONTEXT, "qas": [own]}]}]}
        (folder / f"{split}-v{version}.json").write_text(json.dumps(whole))
    return folder


def test_files_of_splits(make, tmp_path) -> None:
    write_files(tmp_path)
    assert list(splits(SquadConfig())) == ["train", "dev"]
    task = make(test=str(tmp_path / "test-v1.1.json"))
    info = task.setup(tmp_path)
    assert info.labels is None
    assert task.read("dev") == task.read("train") == [example()]
    assert task.read("test") == [{"id": "q", **TEXTS}]
    assert task.examples(tmp_path / "dev-v1.1.json") == task.read("test")
    assert task.examples(tmp_path / "rows.csv") is None
    (tmp_path / "train-v1.1.json").write_text("{}")
    assert make().setup(tmp_path).fingerprint != info.fingerprint
    (tmp_path / "SQuAD").mkdir()
    write_files(tmp_path / "SQuAD")
    assert make().setup(tmp_path).fingerprint == info.fingerprint
    with pytest.raises(DataError, match=r"SQuAD/train-v2\.0\.json: no such file"):
        make(version="2.0").setup(tmp_path)


def test_files_of_predictions(make, tmp_path) -> None:
    write_files(tmp_path, "2.0")
    task = make(version="2.0", test=str(tmp_path / "test-v2.0.json"))
    task.setup(tmp_path)
    examples = task.read("test")
    predictions = task.predict(examples, outputs(task, examples), TaskInfo())
    names = ["predictions.json", "nbest_predictions.json", "null_odds.json"]
    folder = tmp_path / "new" / "folder"
    assert task.write("test", examples, predictions, folder) == [folder / name for name in names]
    assert (folder / "predictions.json").read_text() == '{\n    "q": "a"\n}\n'
    assert json.loads((folder / "null_odds.json").read_text()) == {"q": 0.0}
    written = task.write("dev", task.read("dev"), predictions, folder)
    assert {path.parent for path in written} == {folder / "squad.dev"}
    with pytest.raises(DataError, match="0 predictions for 1 rows\n  nothing was written"):
        task.write("test", examples, [], tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_document_of_100_000_words(make) -> None:
    task = make(max_length=384, doc_stride=128)
    long = example(context="a b " * 50_000, answers=[{"text": "b", "answer_start": 199_998}])
    tracemalloc.start()
    table = task.features([long], TaskInfo())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(table) == 1 + -(-(100_000 - 378) // 128)
    assert np.flatnonzero(table.positions["start"].values).tolist() == [len(table) - 1]
    assert peak < 200e6


def test_features_do_not_depend_on_how_many_are_made_at_once(make, monkeypatch) -> None:
    task = make(max_length=11)
    examples = [example(text) for text in ("d", "b", None, "x", "a")]
    whole = task.features(examples, TaskInfo())
    monkeypatch.setattr("bertmod.builtin.tasks.spans.features.CHUNK", 40)
    parts = task.features(examples, TaskInfo())
    assert np.array_equal(whole.example, parts.example)
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(one.rows[0]["input_ids"], other.rows[0]["input_ids"])
        for group in ("positions", "host"):
            for name, value in getattr(one, group).items():
                assert np.array_equal(value, getattr(other, group)[name])


def test_tables_have_names_of_their_own(tokenizer, tmp_path) -> None:
    (tmp_path / "rows.csv").write_text("ask;story;reply\na?;a b;b\n")
    columns = {"question": "ask", "context": "story", "answer": "reply"}
    config = SpanTableConfig(train="rows.csv", delimiter=";", max_query_length=4, **columns)
    task = span_table_task(config, TaskContext("own", tokenizer, 16, {}))
    task.setup(tmp_path)
    (read,) = task.read("train")
    bare = {"id": "0", "question": "a?", "context": "a b"}
    assert read == {**bare, "answers": [{"text": "b", "answer_start": 2}]}
    assert task.splits == {"train": "train"}
    assert task.example({"ask": "a?", "story": "a b", "id": 0}) == bare
    assert task.examples(tmp_path / "rows.csv") == [bare]
