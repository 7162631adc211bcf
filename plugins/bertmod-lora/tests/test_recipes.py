"""The recipes check, and run two steps on the built-in sample."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.json"))


@pytest.fixture(scope="module")
def bertmod(tmp_path_factory):
    """Runs the program with a cache of its own."""
    cache = str(tmp_path_factory.mktemp("cache"))
    environment = {**os.environ, "XDG_CACHE_HOME": cache, "BERTMOD_PLUGINS": "lora"}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "bertmod", *words]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_checks(bertmod, path) -> None:
    assert bertmod("check", str(path)).startswith(f"{path}: no problems\n")


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_it_runs_two_steps(bertmod, path, tmp_path) -> None:
    short = (
        *("training.num_epochs=2", "training.steps_per_epoch=1", "training.global_batch_size=4"),
        *("evaluation.every_steps=2", "evaluation.batch_size=512"),
        *("encoder.hidden_size=24", "encoder.num_attention_heads=2"),
    )
    words = [word for option in short for word in ("--set", option)]
    out = bertmod("run", str(path), "--output", str(tmp_path / "run"), "--quiet", *words)
    assert "plain mean of 8" in out
    assert (tmp_path / "run/final/mrpc").is_dir()
