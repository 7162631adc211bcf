"""``bertmod evaluate`` on a run that answers questions of SQuAD 2.0."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

CONTEXT = "The cat sat on the mat. A dog slept near it."


def squad_file() -> str:
    """Two questions with an answer and two without, often enough to train on."""
    qas = []
    for number in range(12):
        question, text, start = [
            ("Where did the cat sit?", "on the mat", 12),
            ("What did the dog do?", "slept", 30),
            ("Who flew?", "", 0),
        ][number % 3]
        answers = [{"text": text, "answer_start": start}] if text else []
        qas.append(
            {
                **{"id": f"q{number}", "question": question, "answers": answers},
                "is_impossible": not text,
            }
        )
    paragraphs = [{"context": CONTEXT, "qas": qas}]
    return json.dumps({"version": "v2.0", "data": [{"title": "x", "paragraphs": paragraphs}]})


@pytest.fixture(scope="module")
def squad2(
    tmp_path_factory: pytest.TempPathFactory, env: Mapping[str, str], tiny: Mapping[str, Any]
) -> Path:
    """The folder of one tiny run; nobody writes into it."""
    folder = tmp_path_factory.mktemp("squad2")
    (folder / "data").mkdir()
    for split in ("train", "dev"):
        (folder / f"data/{split}-v2.0.json").write_text(squad_file())
    task = {"name": "squad", "version": "2.0", "max_query_length": 12, "doc_stride": 8}
    (folder / "squad2.json").write_text(json.dumps({**tiny, "tasks": [task]}))
    done = subprocess.run(
        [sys.executable, "-m", "bertmod", "run", "squad2.json", "--data", "data", "--quiet"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "runs/squad2"


def test_the_run_knows_its_questions_and_their_scores(here, squad2, tmp_path) -> None:
    questions = squad2.parents[1] / "data/dev-v2.0.json"
    done = here("predict", squad2, "--input", questions, "--format", "google", "--output", "out")
    assert done.returncode == 0, done.stderr
    words = ("--predictions", "out/predictions.json", "--null-odds", "out/null_odds.json")
    official = here("evaluate", squad2, *words, "--null-threshold", "1000")
    assert (official.returncode, official.stderr) == (0, "")
    there = here("evaluate", *words, "--null-threshold", "1000", "--data", questions)
    assert there.stdout == official.stdout
    scores = json.loads(official.stdout)
    result = here("evaluate", squad2, "--output", "scores.json")
    assert result.returncode == 0
    own = json.loads((tmp_path / "scores.json").read_text())
    for mine, theirs in (("f1", "f1"), ("has_answer_exact", "HasAns_exact")):
        assert 100 * own[f"squad/dev/{mine}"] == pytest.approx(scores[theirs])
    assert scores["f1"] == pytest.approx(scores["best_f1"]), "at the threshold found on dev"


def test_pictures_and_googles_file(here, squad2, tmp_path) -> None:
    words = ("--plots", "drawn", "--format", "google", "--output", "out", "--confidence", "0.8")
    result = here("evaluate", squad2, *words, "--resamples", "20")
    assert (result.returncode, result.stderr) == (0, "")
    drawn = sorted(path.name for path in (tmp_path / "drawn/squad").iterdir())
    assert drawn == [
        *("na_prob_hist_hasAns.png", "na_prob_hist_noAns.png"),
        *("pr_exact.png", "pr_f1.png", "pr_oracle.png"),
    ]
    keys = [
        line.partition(" = ")[0]
        for line in (tmp_path / "out/squad/eval_results.txt").read_text().splitlines()
    ]
    assert keys == [
        *("eval_exact", "eval_f1", "eval_has_answer_exact", "eval_has_answer_f1", "eval_loss"),
        *("eval_no_answer_exact", "eval_no_answer_f1", "global_step", "loss"),
    ]
