"""Runs of the program with this sampler."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[1] / "recipes" / "curriculum.json"
LAST = 12
SMALL = (
    *("training.num_epochs=3", "training.steps_per_epoch=4", "training.global_batch_size=4"),
    *("evaluation.every_steps=2", "evaluation.batch_size=256", "saving.every_steps=1"),
    *("encoder.hidden_size=12", "encoder.num_attention_heads=2", "saving.keep=99"),
    *("adapters[0].bottleneck_size=6", 'tasks=[{"name": "mrpc"}, {"name": "rte"}]'),
    'sampler={"name": "curriculum", "smoothing": 0.3, "goals": {"mrpc": 0.3, "rte": 0.7}}',
)
WORDS = tuple(word for option in SMALL for word in ("--set", option))


def test_the_recipe_checks(bertmod) -> None:
    assert bertmod("check", RECIPE).startswith(f"{RECIPE}: no problems\n")


def rows(run: Path) -> list[dict]:
    """Steps and scores that a run wrote down."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["event"] in ("step", "evaluation")]


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(bertmod, start, tmp_path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    bertmod("run", RECIPE, *WORDS, "--output", whole, "--quiet")
    process = start("run", RECIPE, *WORDS, "--output", cut, "--quiet")
    killed_after = cut / "checkpoints" / "step-00000005"  # two evaluations were heard by then
    try:
        while not killed_after.is_dir() and process.poll() is None:
            time.sleep(0.002)
    finally:
        process.kill()
        process.communicate()
    assert killed_after.is_dir()
    bertmod("run", RECIPE, *WORDS, "--output", cut, "--quiet", "--resume")

    assert rows(cut) == rows(whole)
    last = f"checkpoints/step-{LAST:08d}"
    assert files(cut / last) == files(whole / last)
    assert files(cut / "final") == files(whole / "final")
    state = json.loads((whole / last / "state.json").read_text())["sampler"]
    assert state["distances"]["mrpc"] == pytest.approx(0.3**6)  # any answer reaches that goal
    assert 0.0 < state["distances"]["rte"] <= 1.0
    assert state["baselines"]["mrpc"] > 0.5  # the majority class, told by the task
