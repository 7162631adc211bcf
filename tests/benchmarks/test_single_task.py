"""Data, answers and scores of the benchmarks of one task; nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from benchmarks import mrpc, questions, tags
from benchmarks.contenders import RunFailed
from benchmarks.cuts import Cut
from benchmarks.loss_curves import FAST, PLAIN, curve_lines
from benchmarks.results import OtherResults, Results, Run
from benchmarks.rows import Rows
from benchmarks.settings import FineTuning
from benchmarks.single_task import SAME_START, Comparison, peer_settings, verdicts
from benchmarks.speed.shapes import WIDTHS
from bertmod import DataError

SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "A",
            "paragraphs": [
                {"context": "one two", "qas": [{"id": "1"}, {"id": "2"}]},
                {"context": "three", "qas": [{"id": "3"}]},
            ],
        },
        {"title": "B", "paragraphs": [{"context": "four", "qas": [{"id": "4"}]}]},
    ],
}

CONLL = """-DOCSTART- -X- -X- O

EU NNP B-NP I-ORG
rejects VBZ B-VP O

-DOCSTART- -X- -X- O
Peter NNP B-NP I-PER
Blackburn NNP I-NP I-PER

BRUSSELS NNP B-NP I-LOC
"""


def kept(text: str) -> list[str]:
    return [
        question["id"]
        for article in json.loads(text)["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]


@pytest.mark.parametrize("count", range(1, 6))
def test_first_questions(count: int) -> None:
    found = questions.first_questions(json.dumps(SQUAD), count)
    assert kept(found) == [str(number) for number in range(1, min(count, 4) + 1)]
    assert all(
        paragraph["qas"]
        for article in json.loads(found)["data"]
        for paragraph in article["paragraphs"]
    )


def test_first_sentences() -> None:
    assert len(tags.sentences(CONLL)) == 3
    assert tags.first_sentences(CONLL, 2) == (
        "EU NNP B-NP I-ORG\nrejects VBZ B-VP O\n\n"
        "Peter NNP B-NP I-PER\nBlackburn NNP I-NP I-PER\n\n"
    )


def test_cut_leaves_the_data_as_it_is(tmp_path: Path) -> None:
    cut = Cut({"train": "a/train", "dev": "a/dev"}, lambda text, count: text[:count])
    data = tmp_path / "data"
    (data / "a").mkdir(parents=True)
    for split in ("train", "dev"):
        (data / "a" / split).write_text(f"{split} rows")
    assert cut.folder(data, tmp_path / "cut", num_rows={"train": None, "dev": None}) == data
    found = cut.folder(data, tmp_path / "cut", num_rows={"train": None, "dev": 2})
    assert (found / "a/train").read_text() == "train rows"
    assert (found / "a/dev").read_text() == "de"
    assert (data / "a/dev").read_text() == "dev rows"


def test_missing_data_is_told(tmp_path: Path) -> None:
    assert questions.QUESTIONS.cut is not None
    with pytest.raises(DataError, match=r"SQuAD/train-v1\.1\.json"):
        questions.QUESTIONS.cut.folder(tmp_path, tmp_path / "cut", num_rows={})


def test_answers_and_their_scores(tmp_path: Path) -> None:
    folder = tmp_path / "squad.dev"
    folder.mkdir()
    (folder / "predictions.json").write_text(json.dumps({"1": "the end", "2": "one"}))
    answers = [{"text": "End.", "answer_start": 0}, {"text": "an end now", "answer_start": 3}]
    dev = [{"id": "1", "answers": answers}, {"id": "2", "answers": [{"text": "one two"}]}]
    rows = Rows({"dev": dev}, {"dev": 2}, {"dev": 2})
    found = questions.scores(rows, questions.given_answers(tmp_path))
    assert found == pytest.approx({"F1": (1 + 2 / 3) / 2, "exact": 0.5})


def test_tags_and_their_scores(tmp_path: Path) -> None:
    lines = [f"{line} O" if line else line for line in CONLL.splitlines()]
    lines[2] = "EU NNP B-NP I-ORG I-ORG"  # one of three entities, in the file's own scheme
    (tmp_path / "conll.dev.txt").write_text("\n".join(lines))
    given = tags.given_tags(tmp_path)
    assert given == [["I-ORG", "O"], ["O", "O"], ["O"]]
    dev = [{"tags": ["B-ORG", "O"]}, {"tags": ["B-PER", "I-PER"]}, {"tags": ["B-LOC"]}]
    found = tags.scores(Rows({"dev": dev}, {"dev": 3}, {"dev": 3}), given)
    assert found == pytest.approx({"entity F1": 0.5, "precision": 1.0, "recall": 1 / 3})


def test_the_start_of_another_tool(tmp_path: Path, mrpc_folder: Path, weights: str) -> None:
    """The first losses show with which head, and on which rows, a run begins."""
    settings = FineTuning(steps=2, dropout=0.0)
    comparison = Comparison(
        mrpc.MRPC, str(mrpc_folder), weights, Path(), tmp_path / "work", settings
    )
    read = comparison.read()
    untrained = pytest.raises(RunFailed, match="let it train first")
    with untrained:
        comparison.train(SAME_START, read, seed=3)
    hidden, bias = WIDTHS["tiny"][0], [0.25, -0.5]
    head = {"classifier.weight": [[0.0] * hidden] * 2, "classifier.bias": bias}
    order = [*range(1, 64, 2), *range(0, 64, 2), *range(64, 100)]
    theirs = tmp_path / "work" / "transformers-fp32-3"
    theirs.mkdir()
    given = peer_settings(settings, read, checkpoint=weights, seed=3)
    (theirs / "result.json").write_text(json.dumps({"course": {"order": order, "head": head}}))
    (theirs / "given.json").write_text(json.dumps({**given, "seed": 4}))
    with untrained:
        comparison.train(SAME_START, read, seed=3)
    (theirs / "given.json").write_text(json.dumps(given))
    found = comparison.train(SAME_START, read, seed=3)
    total = np.log(np.exp(bias).sum())
    # The first step is made at rate 0; its rows are all of label 1, those of the second of 0.
    assert found.details["losses"] == pytest.approx([total - bias[1], total - bias[0]], abs=1e-4)


@pytest.mark.parametrize("steps", [1, 3, 4, 7])
def test_the_order_of_another_tool_is_that_of_its_steps(
    load_program: Callable[[str], ModuleType], steps: int
) -> None:
    """torch's loader asks for every feature of a pass once; what is behind the last step is cut."""
    training = load_program("transformers_training")
    noted = training.Noted(list("abcdefgh"))
    torch.manual_seed(0)
    loader = DataLoader(noted, batch_size=3, shuffle=True)
    batches = [batch for _ in range(3) for batch in loader]
    trained = [each for batch in batches[:steps] for each in batch]
    kept = noted.order[: training.num_trained(8, {"steps": steps, "batch_size": 3})]
    assert ["abcdefgh"[number] for number in kept] == trained


def test_only_where_a_row_is_a_feature_can_starts_be_the_same() -> None:
    assert SAME_START in mrpc.MRPC.tools
    assert set(mrpc.MRPC.tools) - set(questions.QUESTIONS.tools) == {SAME_START}
    assert tags.TAGS.tools == questions.QUESTIONS.tools


def run(tool: str, score: float) -> Run:
    return Run(tool, 1, {"entity F1": score}, "fp32", 3, 7.0)


def test_the_first_score_decides() -> None:
    results = Results({}, {}, (run("bertmod auto", 0.815), run("transformers fp32", 0.82)))
    assert verdicts(results, margin=1.0) == [
        "- bertmod auto: mean entity F1 -0.50 points from transformers' over 1 seed(s); at most 1 "
        "behind: holds"
    ]


def test_results_of_another_subject_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    Results({"rows": 1}, {}, (run("bertmod auto", 0.5),)).save(path, "")
    assert Results.open(path, subject={"rows": 1}, facts={}).has("bertmod auto", 1)
    with pytest.raises(OtherResults, match="results of other settings"):
        Results.open(path, subject={"rows": 2}, facts={})


def curves(shift: float, *, num_seeds: int = 4) -> Results:
    """Runs of both paths whose losses differ by seed; the fast one's are shifted."""
    draws = np.random.default_rng(0)
    runs = [
        Run(tool, seed, {"accuracy": 0.7}, "bf16", 205, 1.0, {"losses": losses.tolist()})
        for tool, by in ((FAST, shift), (PLAIN, 0.0))
        for seed in range(num_seeds)
        for losses in [draws.normal(0.6 + by, 0.05, 205) + draws.normal(0, 0.02)]
    ]
    return Results({}, {}, tuple(runs))


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_loss_curves(shift: float) -> None:
    """A row for each window; means in units of what seeds do to them."""
    lines = curve_lines(curves(shift))
    assert sum(line.startswith("| ") and " to " in line for line in lines) == 10
    assert lines[2].startswith("| 1 to 20 |")
    most = float(lines[-2].partition("at most ")[2].partition(". ")[0])
    assert most < 3 if shift == 0 else most > 5
    mean, _, error = lines[-2].partition("differ by ")[2].partition(" (")[0].partition(" ± ")
    assert abs(float(mean) - shift) < 6 * float(error)


def test_loss_curves_need_two_seeds() -> None:
    assert curve_lines(curves(0.0, num_seeds=1)) == []
    assert curve_lines(Results({}, {})) == []
