"""Training is what lifts the scores: without an optimizer they stay at chance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def last_scores(run: Path) -> dict[str, float]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return next(row["scores"] for row in reversed(rows) if row["event"] == "evaluation")


def test_with_the_optimizer_switched_off_the_numbers_are_at_chance(
    program, write_recipe, tmp_path
) -> None:
    """Sentiment, the easiest task of the built-in sample, and similarity."""
    path = write_recipe(
        tmp_path,
        tasks=[{"name": "sst2"}, {"name": "stsb"}],
        seed=1,
        training={"num_epochs": 1, "steps_per_epoch": 120, "global_batch_size": 16},
        evaluation={"every_steps": 120},
        saving={"every_steps": 120},
    )
    scores = {}
    for name in ("still", "adamw"):
        run = tmp_path / name
        words = ["--set", "optimizer=" + json.dumps({"name": name, "learning_rate": 0.006})]
        ended = program("run", path, "--output", run, "--quiet", *words)
        assert ended.status == 0, ended.err
        scores[name] = last_scores(run)
    majority = 0.5
    assert scores["still"]["sst2/dev/accuracy"] < majority + 0.1
    assert abs(scores["still"]["stsb/dev/pearson"]) < 0.3
    assert scores["adamw"]["sst2/dev/accuracy"] > majority + 0.15
