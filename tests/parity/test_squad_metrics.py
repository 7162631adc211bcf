"""The scores of answers against the official evaluation scripts of SQuAD 1.1 and 2.0."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertmod.data.squad_files import read_questions
from bertmod.metrics.squad import exact, f1, normalize_answer
from bertmod.metrics.squad_official import official_v1, official_v2, precision_recall_curves

pytestmark = pytest.mark.shared


def test_every_pair_of_answers(golden: Path) -> None:
    rows = json.loads((golden / "06_squad_functions/scores.json").read_text())
    assert len(rows) == 20
    for row in rows:
        gold, prediction = row["gold"], row["prediction"]
        assert normalize_answer(gold) == row["normalized_gold"]
        assert normalize_answer(prediction) == row["normalized_prediction"]
        assert exact(gold, prediction) == row["v2_exact"] == row["v1_exact"]
        assert f1(gold, prediction, empty_is_match=True) == row["v2_f1"]
        assert f1(gold, prediction, empty_is_match=False) == row["v1_f1"]


RUNS = ("seq64_stride24_uncased", "seq384_stride128_uncased")
COMMANDS = {
    "evaluate-v2.0": {},
    "evaluate-v2.0 --na-prob-file null_odds.json": {"odds": True},
    "evaluate-v2.0 --na-prob-file null_odds.json --na-prob-thresh -6.27": {"threshold": -6.27},
    "evaluate-v2.0 --na-prob-file null_odds.json --na-prob-thresh -1.43": {"threshold": -1.43},
}


def same(found: dict[str, float], expected: dict[str, float]) -> None:
    """Keys in order, and every number to the last digit."""
    assert json.dumps(found) == json.dumps(expected)


def read(case: Path, run: str) -> tuple[dict, dict, dict, dict]:
    golds = read_questions(case / "input.json").golds
    odds = case / run / "null_odds.json"
    files = [case / run / "predictions.json", case / run / "evaluation.json"]
    found = [json.loads(path.read_text()) for path in files]
    return golds, *found, json.loads(odds.read_text()) if odds.exists() else {}


@pytest.mark.parametrize("run", RUNS)
def test_version_1(golden: Path, run: str) -> None:
    golds, predictions, expected, _ = read(golden / "06_squad_v1.1", run)
    assert set(expected) == {"evaluate-v1.1", "evaluate-v2.0"}
    same(official_v1(golds, predictions), expected["evaluate-v1.1"])
    same(official_v2(golds, predictions), expected["evaluate-v2.0"])


@pytest.mark.parametrize("run", RUNS)
def test_version_2(golden: Path, run: str) -> None:
    golds, predictions, expected, odds = read(golden / "06_squad_v2.0", run)
    curves = precision_recall_curves(golds, predictions, odds)
    found = {f"pr_{name}_ap": curve.average_precision for name, curve in curves.items()}
    same(found, expected.pop("precision-recall analysis with null_odds.json"))
    assert len(expected) == 3
    for command, numbers in expected.items():
        said = COMMANDS[command]
        threshold = said.get("threshold", 1.0)
        found = official_v2(golds, predictions, odds if said else None, threshold=threshold)
        same(found, numbers)
