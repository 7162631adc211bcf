"""A disk without room, and other ways for a run to fail before or while it trains."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bertmod.engine.checkpoint import load_newest

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(disk) -> Path:
    """A file system of twelve megabytes."""
    return disk("12m")


@pytest.fixture
def recipe(tmp_path, write_recipe) -> Path:
    return write_recipe(tmp_path)


def fill(disk: Path, *, leave: int) -> Path:
    """Fill a file system but for so many bytes."""
    filler = disk / "filler"
    stat = os.statvfs(disk)
    filler.write_bytes(b"\0" * max(stat.f_bavail * stat.f_frsize - leave, 0))
    return filler


def test_a_full_disk_before_training(program, recipe, small_disk) -> None:
    fill(small_disk, leave=0)
    run = small_disk / "runs" / "one"
    ended = program("run", recipe, "--output", run, "--quiet")
    assert ended.status == 2
    assert ended.err == (
        f"error: {run}: cannot write here: No space left on device\n"
        "  make room on the disk, or name a folder elsewhere with --output\n"
    )
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_a_disk_that_fills_up_while_the_run_is_set_up(program, recipe, small_disk) -> None:
    """Room for the lock and the process id, but not for the recipe."""
    fill(small_disk, leave=8192)
    ended = program("run", recipe, "--output", small_disk / "run", "--quiet")
    assert ended.status == 2
    assert "cannot write here: No space left on device" in ended.err
    assert "Traceback" not in ended.err
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_a_disk_that_fills_up_while_training(program, recipe, small_disk, tmp_path) -> None:
    run, whole = small_disk / "run", tmp_path / "whole"
    assert program("run", recipe, "--output", whole, "--quiet").status == 0
    first = program("run", recipe, "--output", run, "--quiet", term_at_step=5)
    assert first.status == 130, first.err

    filler = fill(small_disk, leave=150_000)
    failed = program("run", recipe, "--output", run, "--quiet", "--resume")
    assert failed.status == 1
    assert "Traceback" not in failed.err
    lines = [line for line in failed.err.splitlines() if not line.startswith("WARNING: tracker")]
    assert lines[0] == f"error: {run}: cannot write here: No space left on device"
    assert lines[1] == "  make room on the disk, or name a folder elsewhere with --output"
    assert lines[2].startswith("  stopped after step ")
    assert lines[2].endswith("; earlier checkpoints are intact: go on with --resume")
    newest = load_newest(run / "checkpoints")
    assert newest is not None
    assert newest.step >= 5
    assert not any(path.name.startswith(".") for path in (run / "checkpoints").iterdir())

    filler.unlink()
    resumed = program("run", recipe, "--output", run, "--quiet", "--resume")
    assert resumed.status == 0, resumed.err
    for path in (whole / "final").rglob("*"):
        if path.is_file():
            assert (run / path.relative_to(whole)).read_bytes() == path.read_bytes()


def test_no_room_for_the_predictions(program, recipe, tmp_path) -> None:
    """A file lies where their folder should be."""
    run = tmp_path / "run"
    program("run", recipe, "--output", run, "--quiet", term_at_step=3)
    (run / "predictions").write_text("")
    ended = program("run", recipe, "--output", run, "--quiet", "--resume")
    assert ended.status == 1
    assert ended.err.endswith(
        f"error: {run / 'predictions'}: cannot be made: File exists\n"
        "  the run is complete but for its predictions\n"
    )
    assert (run / "final" / "rte" / "task.json").is_file()


def test_predictions_that_a_stranger_cannot_write(program, write_recipe, tmp_path) -> None:
    """A task that lets the system's own error out, which names no file when a disk is full."""
    run = tmp_path / "run"
    recipe = write_recipe(tmp_path, tasks=[{"name": "leaky"}], training={"num_epochs": 1})
    ended = program("run", recipe, "--output", run, "--quiet")
    assert ended.status == 1
    assert ended.err == (
        f"error: {run / 'predictions'}: task leaky, split dev: cannot be written: "
        "No space left on device\n  the run is complete but for its predictions\n"
    )


def test_a_set_up_that_fails_leaves_no_folder(program, recipe, tmp_path) -> None:
    """What the machine has is known only after the recipe was checked."""
    run = tmp_path / "runs" / "one"
    device = 'training.device="cuda:77"'
    ended = program("run", recipe, "--output", run, "--quiet", "--set", device)
    assert ended.status == 2
    assert 'no device "cuda:77"' in ended.err
    assert not (tmp_path / "runs").exists()


def test_missing_data_leaves_no_folder(program, recipe, tmp_path) -> None:
    run = tmp_path / "run"
    (tmp_path / "empty").mkdir()
    ended = program("run", recipe, "--output", run, "--quiet", "--data", tmp_path / "empty")
    assert ended.status == 2
    assert "Traceback" not in ended.err
    assert not run.exists()


def test_a_used_folder_is_refused_and_untouched(program, recipe, tmp_path) -> None:
    run = tmp_path / "run"
    program("run", recipe, "--output", run, "--quiet", term_at_step=1)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    ended = program("run", recipe, "--output", run, "--quiet")
    assert ended.status == 2
    assert ended.err == (
        f"error: {run}: already holds a run\n"
        "  go on with it: --resume\n  start another: --output NEW_FOLDER\n"
    )
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_the_log_tells_of_every_attempt(program, recipe, tmp_path) -> None:
    run = tmp_path / "run"
    program("run", recipe, "--output", run, "--quiet", term_at_step=3)
    program("run", recipe, "--output", run, "--quiet", "--resume")
    log = (run / "log.txt").read_text(encoding="utf-8")
    assert log.count("The built-in sample is synthetic") == 2
    assert "saved " in log
    assert "resumed at step 3" in log
    assert json.loads((run / "lock.json").read_text())["seed"] == 42
