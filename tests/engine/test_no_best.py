"""A run that keeps no best states, and what reads its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SHORT = {"num_epochs": 1, "steps_per_epoch": 8}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, write_recipe) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    return write_recipe(folder, training=SHORT, saving={"best": False})


@pytest.fixture(scope="module")
def run(tmp_path_factory, program, recipe) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "run"
    ended = program("run", recipe, "--output", folder, "--quiet")
    assert ended.status == 0, ended.err
    return folder


def test_what_is_left_is_the_last_state(program, run, tmp_path, write_recipe, run_files) -> None:
    """It and everything else is what a run that keeps the best has, but for the recipe's hash."""
    kept = write_recipe(tmp_path, training=SHORT)
    assert program("run", kept, "--output", tmp_path / "run", "--quiet").status == 0
    assert list((run / "best").iterdir()) == []
    assert len(list((tmp_path / "run" / "best").iterdir())) == 3
    for part in ("predictions", "final/encoder"):
        assert run_files.content(run / part) == run_files.content(tmp_path / "run" / part)
    events = ("step", "evaluation")
    assert run_files.rows(run, *events) == run_files.rows(tmp_path / "run", *events)
    tensors = "final/rte/model.safetensors"
    assert (run / tensors).read_bytes() == (tmp_path / "run" / tensors).read_bytes()
    assert "best/" not in (run / "final" / "README.md").read_text()


def test_a_stopped_run_resumes_bit_equal(program, recipe, run, tmp_path, run_files) -> None:
    again = tmp_path / "run"
    stopped = program("run", recipe, "--output", again, "--quiet", term_at_step=5)
    assert stopped.status == 130, stopped.err
    early = program("predict", again, "--task", "rte", "--text", "a", "--text-pair", "b")
    assert (early.status, early.err) == (
        2,
        f"error: {again}: it keeps no best states (saving.best is false)\n"
        "  let the run go on until its end\n",
    )
    ended = program("run", recipe, "--output", again, "--quiet", "--resume")
    assert ended.status == 0, ended.err
    for part in ("final", "predictions", "checkpoints/step-00000008"):
        assert run_files.content(again / part) == run_files.content(run / part)


def test_prediction_takes_the_last_state(program, run) -> None:
    words = ["predict", run, "--task", "rte", "--text", "a", "--text-pair", "b"]
    usual, last = program(*words), program(*words, "--from", "final")
    assert (usual.status, usual.err) == (0, "")
    assert usual.out == last.out
    best = program(*words, "--from", "best")
    assert (best.status, best.err) == (
        2,
        f"error: {run}: it keeps no best states (saving.best is false)\n  use --from final\n",
    )


def test_it_is_a_checkpoint(program, run, recipe, tmp_path) -> None:
    words = ["run", recipe, "--checkpoint", run, "--output", tmp_path / "run", "--quiet"]
    ended = program(*words)
    assert ended.status == 0, ended.err
    assert json.loads((tmp_path / "run/recipe.json").read_text())["saving"]["best"] is False


def test_a_comparison_says_that_its_last_step_counts(program, run) -> None:
    note = f"{run} keeps no best states; its last step counts"
    compared = program("compare", run)
    assert compared.status == 0, compared.err
    assert note in compared.out
    last = program("compare", run, "--from", "final")
    assert last.status == 0
    assert note not in last.out


def test_a_series_shows_last_scores_alone(program, recipe, tmp_path) -> None:
    words = ["run", recipe, "--seeds", "1,2", "--output", tmp_path / "series", "--quiet"]
    ended = program(*words)
    assert ended.status == 0, ended.err
    heading = next(line for line in ended.out.splitlines() if line.startswith("task"))
    assert heading.split("  ")[0] == "task"
    assert heading.count("st. dev.") == 1
    assert "best mean" not in ended.out
