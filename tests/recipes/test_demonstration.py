"""The demonstration on the built-in sample learns every task, and would not if training broke."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "pals_anneal.json"

# Above the majority class by this much; for correlations, which have none, at least this much.
MARGINS = {
    "cola/dev/matthews": 0.3,
    "mrpc/dev/accuracy": 0.1,
    "mnli/dev_matched/accuracy": 0.2,
    "mnli/dev_mismatched/accuracy": 0.2,
    "rte/dev/accuracy": 0.2,
    "stsb/dev/pearson": 0.6,
    "sst2/dev/accuracy": 0.2,
    "qqp/dev/accuracy": 0.1,
    "qnli/dev/accuracy": 0.15,
}
MAJORITY = {
    "mrpc/dev/accuracy": 0.6575,
    "mnli/dev_matched/accuracy": 0.375,
    "mnli/dev_mismatched/accuracy": 0.4025,
    "rte/dev/accuracy": 0.5267,
    "sst2/dev/accuracy": 0.5167,
    "qqp/dev/accuracy": 0.605,
    "qnli/dev/accuracy": 0.5225,
}


def learned(scores: dict[str, float]) -> set[str]:
    """The metrics that are clearly above what ignoring the text would give."""
    return {
        name for name, margin in MARGINS.items() if scores[name] >= MAJORITY.get(name, 0.0) + margin
    }


def run(output: Path, *options: str) -> dict[str, float]:
    """Scores of the last evaluation of the recipe, run as a user would."""
    command = [sys.executable, "-m", "bertmod", "run", str(RECIPE), "--output", str(output)]
    done = subprocess.run([*command, "--quiet", *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "synthetic" in done.stdout
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    scores: dict[str, float] = [row for row in rows if row["event"] == "evaluation"][-1]["scores"]
    return scores


@pytest.mark.slow
def test_every_task_is_learned(tmp_path):
    assert learned(run(tmp_path / "run")) == set(MARGINS)


@pytest.mark.slow
def test_without_an_optimizer_no_task_is_learned(tmp_path):
    still = ["--set", "optimizer.learning_rate=1e-12", "--set", "training.num_epochs=1"]
    scores = run(tmp_path / "still", *still, "--set", "training.steps_per_epoch=100")
    assert learned(scores) == set()
