"""SQuAD as google-research/bert's run_squad.py does it: windows, targets, answers, files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from bertmod import TaskContext, TaskInfo
from bertmod.builtin.tasks.spans.config import SquadConfig
from bertmod.builtin.tasks.spans.reading import golds
from bertmod.builtin.tasks.spans.recovery import TextRecovery
from bertmod.builtin.tasks.spans.task import SpanTask, squad_task
from bertmod.builtin.tokenizers.modules import WordPieceTokenizer
from bertmod.engine.evaluate import outputs_by_example
from bertmod.metrics.squad_official import official_v2

pytestmark = pytest.mark.shared

RUNS = [
    (version, folder)
    for version in ("1.1", "2.0")
    for folder in ("seq64_stride24_uncased", "seq384_stride128_uncased")
]


def vocabulary(glue: Path, name: str) -> list[str]:
    return (glue / "vocab" / name).read_bytes().decode().rstrip("\n").split("\n")


@pytest.fixture(scope="module")
def tokenizer(glue: Path) -> WordPieceTokenizer:
    return WordPieceTokenizer(vocabulary(glue, "uncased.txt"), lower_case=True)


class Run(NamedTuple):
    """A run of the original and the same task here."""

    config: SquadConfig
    context: TaskContext
    task: SpanTask
    info: TaskInfo
    arrays: Any
    folder: Path
    reference: Path
    windows: tuple[int, int]

    def task_with(self, **changed: Any) -> SpanTask:
        """The task with other options."""
        return squad_task(self.config.model_copy(update=changed), self.context)


@pytest.fixture(scope="module", params=RUNS, ids="-".join)
def run(request, golden, tokenizer, tmp_path_factory) -> Run:
    version, folder = request.param
    reference = golden / f"06_squad_v{version}"
    told = json.loads((reference / "case.json").read_text())
    about = next(each for each in told["runs"] if each["folder"] == folder)
    own = tmp_path_factory.mktemp("squad")
    given = json.loads((reference / "input.json").read_text())
    (own / f"dev-v{version}.json").write_text(json.dumps(given))
    for question in questions(given):
        question["answers"] = question["answers"][:1]
    (own / f"train-v{version}.json").write_text(json.dumps(given))
    keys = ("doc_stride", "max_query_length", "n_best_size", "max_answer_length")
    options = {key: about[key] for key in keys}
    config = SquadConfig(
        version=version, null_threshold=about.get("null_score_diff_threshold"), **options
    )
    context = TaskContext("squad", tokenizer, about["max_seq_length"], {})
    task = squad_task(config, context)
    info = task.setup(own)
    arrays = np.load(reference / folder / "features.npz")
    counts = about["windows"], about["training_windows"]
    return Run(config, context, task, info, arrays, own, reference / folder, counts)


def questions(given: Any) -> list[Any]:
    return [
        question
        for article in given["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


def test_training_examples(run) -> None:
    expected = json.loads((run.reference.parent / "train_examples.json").read_text())
    given = run.task.read("train")
    assert [each["id"] for each in given] == [each["qas_id"] for each in expected]
    for example, wanted in zip(given, expected, strict=True):
        texts = [answer["text"] for answer in example["answers"]] or [""]
        assert texts == [wanted["orig_answer_text"]]
        assert example.get("is_impossible", False) == wanted["is_impossible"]


def test_windows(run) -> None:
    table = run.task.features(run.task.read("dev"), run.info)
    assert len(table) == run.windows[0]
    assert np.array_equal(table.example, run.arrays["eval/example_index"])
    for place, feature in enumerate(table):
        length = int(run.arrays["eval/input_mask"][place].sum())
        ids, types = (feature.rows[0][name] for name in ("input_ids", "token_type_ids"))
        assert np.array_equal(ids, run.arrays["eval/input_ids"][place][:length])
        assert np.array_equal(types, run.arrays["eval/segment_ids"][place][:length])
        shown = slice(length - 1 - len(feature.host["words"]), length - 1)
        for name, column in (("words", "token_to_orig_map"), ("widest", "token_is_max_context")):
            reference = run.arrays[f"eval/{column}"][place]
            assert np.array_equal(feature.host[name].astype(int), reference[shown])
            assert np.all(np.delete(reference, np.r_[shown]) == -1)


def test_targets(run) -> None:
    table = run.task.features(run.task.read("train"), run.info)
    assert len(table) == run.windows[1]
    assert np.array_equal(table.example, run.arrays["train/example_index"])
    for name in ("start", "end"):
        expected = run.arrays[f"train/{name}_position"]
        assert np.array_equal(table.positions[name].values, expected)


def decoded(run: Run) -> tuple[Any, Any]:
    examples = run.task.read("dev")
    table = run.task.features(examples, run.info)
    logits = [
        {"start_logits": start, "end_logits": end}
        for start, end in zip(run.arrays["logits/start"], run.arrays["logits/end"], strict=True)
    ]
    return examples, outputs_by_example(len(examples), table, logits)


def test_answers_and_files(run, tmp_path) -> None:
    examples, outputs = decoded(run)
    predictions = run.task.predict(examples, outputs, run.info)
    for path in run.task.write("dev", examples, predictions, tmp_path):
        reference = run.reference / path.name
        assert path.parent == tmp_path / "squad.dev"
        if path.name == "nbest_predictions.json":  # stored with other indents
            assert json.dumps(json.loads(path.read_text())) == json.dumps(
                json.loads(reference.read_text())
            )
        else:
            assert path.read_bytes() == reference.read_bytes()


def test_scores(run) -> None:
    examples, outputs = decoded(run)
    found = run.task.score("dev", examples, run.task.predict(examples, outputs, run.info))
    stored = json.loads((run.reference / "evaluation.json").read_text())
    version_1 = "evaluate-v1.1" in stored
    expected = stored["evaluate-v1.1" if version_1 else "evaluate-v2.0"]
    names = {"exact": "exact_match" if version_1 else "exact", "f1": "f1"}
    if not version_1:
        names |= {
            f"{ours}_{name}": f"{theirs}_{name}"
            for ours, theirs in (("has_answer", "HasAns"), ("no_answer", "NoAns"))
            for name in ("exact", "f1")
        }
    assert {name: 100 * value for name, value in found.items()} == pytest.approx(
        {ours: expected[theirs] for ours, theirs in names.items()}, rel=1e-12
    )


def test_threshold_of_the_best_f1(run) -> None:
    """That of the official program for predictions that always answer."""
    if run.config.version == "1.1":
        return
    examples, outputs = decoded(run)
    always = run.task_with(null_threshold=1e6).predict(examples, outputs, run.info)
    official = official_v2(
        golds(examples),
        {each["id"]: each["text"] for each in always},
        {each["id"]: each["null_odds"] for each in always},
    )
    info = run.task_with(null_threshold=None).calibrate(examples, outputs, run.info)
    assert info.calibration == {"null_threshold": official["best_f1_thresh"]}
    tuned = run.task_with(null_threshold=None).predict(examples, outputs, info)
    scores = run.task.score("dev", examples, tuned)
    # More, where a text of punctuation alone is right for a question without answer.
    assert 100 * scores["f1"] >= official["best_f1"] - 1e-12


def test_answers_stand_at_their_offsets(run) -> None:
    examples, outputs = decoded(run)
    for example, found in zip(examples, run.task.predict(examples, outputs, run.info), strict=True):
        if found["text"]:
            shown = example["context"][found["start"] : found["end"]]
            assert shown.split() == found["text"].split()
        else:
            assert (found["start"], found["end"]) == (None, None)


def test_final_texts(golden, glue) -> None:
    cases = json.loads((golden / "06_squad_functions" / "get_final_text.json").read_text())
    recoveries = {
        lower: TextRecovery(WordPieceTokenizer(vocabulary(glue, name), lower_case=lower))
        for lower, name in ((True, "uncased.txt"), (False, "cased.txt"))
    }
    for case in cases:
        recovery = recoveries[case["do_lower_case"]]
        found = recovery.of_text(case["pred_text"], case["orig_text"].split(" "))
        assert found.text == case["final_text"]
