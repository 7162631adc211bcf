"""What a task's slot says of its steps and its best state holds in a whole run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TASKS = [
    {"name": "mrpc", "metric": "dev/f1", "batch_size": 2, "max_length": 12, "loss_weight": 0.5},
    {"name": "rte"},
]


@pytest.fixture(scope="module")
def run(program, write_recipe, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("control")
    recipe = write_recipe(folder, tasks=TASKS, sampler={"name": "round_robin"})
    ended = program("run", recipe, "--output", folder / "run")
    assert ended.status == 0, ended.err
    assert re.search(r"^mrpc +dev/f1 ", ended.out, re.MULTILINE)
    return folder / "run"


def rows(run: Path, event: str) -> list[dict]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["event"] == event]


def test_best_is_by_the_named_metric(run) -> None:
    scores = {row["step"]: row["scores"]["mrpc/dev/f1"] for row in rows(run, "evaluation")}
    best = json.loads((run / "best" / "tasks" / "mrpc" / "task.json").read_text())
    assert list(scores) == [4, 8, 12, 16, 20, 24]  # every N steps
    assert best["metric"] == "dev/f1"
    assert best["score"] == max(scores.values()) == scores[best["step"]]


def test_batches_and_lengths_of_each_task(run) -> None:
    steps = {
        task: [row for row in rows(run, "step") if row["task"] == task] for task in ("mrpc", "rte")
    }
    assert {row["features"] for row in steps["mrpc"]} == {2}
    assert {row["features"] for row in steps["rte"]} == {4}
    assert max(row["tokens"] for row in steps["mrpc"]) <= 2 * 12
    assert max(row["tokens"] for row in steps["rte"]) > 4 * 12


def test_loss_weights(run) -> None:
    for row in rows(run, "step"):
        weight = 0.5 if row["task"] == "mrpc" else 1.0
        assert row["loss"] == pytest.approx(weight * sum(row["losses"].values()))
