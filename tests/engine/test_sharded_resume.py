"""Runs whose model is in parts: struck while they save, resumed as they were or in another mode."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LAST = 9
LOST = "error: another process of this run ended or does not answer: "


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, write_recipe) -> Path:
    """Nine steps without dropout, which 1, 2 and 3 processes make alike up to rounding."""
    return write_recipe(
        tmp_path_factory.mktemp("recipe"),
        training={
            "parallel": "fsdp",
            "global_batch_size": 12,
            "num_epochs": 1,
            "steps_per_epoch": LAST,
            "dropout_epochs": 0,
            "ema": 0.9,
        },
        optimizer={"learning_rate": 1e-3},
        evaluation={"every_steps": 5},
    )


def go(program, recipe: Path, run: Path, *, parallel: str = "fsdp", **options: Any):
    """Start a run or go on with it."""
    processes = options.pop("processes", 1 if parallel == "single" else 2)
    words = ["--resume"] if (run / "recipe.json").exists() else []
    words += ["--set", f'training.parallel="{parallel}"']
    return program(
        "run", recipe, "--output", run, "--quiet", *words, processes=processes, **options
    )


def finish(program, recipe: Path, run: Path, **options: Any):
    ended = go(program, recipe, run, **options)
    assert {ended.status, *ended.others} == {0}, (ended.err, ended.others_err)
    return ended


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, program, recipe) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    finish(program, recipe, run, kill_at=0)
    return run


@pytest.fixture(scope="module")
def num_changes(program, uninterrupted) -> int:
    """Changes of files that the main process makes."""
    return program.changes


def assert_lost(ended, struck: int) -> None:
    """One process was killed, and the other one says that it is not there any more."""
    statuses, said = (ended.status, *ended.others), (ended.err, *ended.others_err)
    assert statuses[struck] == -9
    assert statuses[1 - struck] == 1
    assert said[1 - struck].startswith(LOST)
    assert "Traceback" not in said[1 - struck]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_a_checkpoint_holds(uninterrupted) -> None:
    newest = uninterrupted / "checkpoints" / f"step-{LAST:08d}"
    manifest = json.loads((newest / "manifest.json").read_text())
    assert manifest["format_version"] == 2
    assert [name for name in manifest["files"] if name.startswith("shard-")] == [
        "shard-00001-model-00001-of-00001.safetensors",
        "shard-00002-model-00001-of-00001.safetensors",
    ]
    sizes = [(newest / name).stat().st_size for name in manifest["files"]]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


@pytest.mark.parametrize("place", [2, 5])
def test_a_process_killed_while_it_writes_its_part(
    program, recipe, uninterrupted, tmp_path, place, run_files
) -> None:
    """All that it changes in the run folder are its parts of checkpoints."""
    run = tmp_path / "run"
    assert_lost(go(program, recipe, run, struck_rank=1, kill_at=place), struck=1)
    assert all(name.startswith("step-") for name in names(run / "checkpoints"))
    finish(program, recipe, run)
    run_files.assert_same(run, uninterrupted)


def test_the_main_process_killed_while_it_saves(
    program, recipe, uninterrupted, num_changes, tmp_path, run_files
) -> None:
    """What is half-written is cleared away: of every such instant, the first after a draw."""
    for place in range(random.Random(1).randrange(num_changes // 2), num_changes):
        run = tmp_path / str(place)
        assert_lost(go(program, recipe, run, kill_at=place), struck=0)
        if any(name.startswith(".writing") for name in names(run / "checkpoints")):
            finish(program, recipe, run)
            run_files.assert_same(run, uninterrupted)
            return
    pytest.fail("no kill left a half-written checkpoint")


def test_a_disk_that_is_full_when_a_process_writes_its_part(
    program, recipe, uninterrupted, disk, run_files
) -> None:
    small = disk("12m")
    run = small / "run"
    assert go(program, recipe, run, term_at_step=4).status == 130
    before = names(run / "checkpoints")
    failed = go(program, recipe, run, struck_rank=1, kill_at=1, instead="full disk")
    assert (failed.status, failed.others) == (1, (1,)), (failed.err, failed.others_err)
    lines = [line for line in failed.err.splitlines() if not line.startswith("WARNING: tracker")]
    told = ": cannot write here: No space left on device"
    assert lines == [
        f"error: {run}{told}",
        "  make room on the disk, or name a folder elsewhere with --output",
        "  stopped after step 6; earlier checkpoints are intact: go on with --resume",
    ]
    assert failed.others_err[0].startswith(f"error: the run folder{told}\n")
    assert names(run / "checkpoints") == before
    (small / "filler").unlink()
    finish(program, recipe, run)
    run_files.assert_same(run, uninterrupted)


def test_a_damaged_part_is_reported_and_the_one_before_used(
    program, recipe, uninterrupted, tmp_path, run_files
) -> None:
    run = tmp_path / "run"
    assert go(program, recipe, run, term_at_step=7).status == 130
    part = run / "checkpoints" / "step-00000007" / "shard-00002-model-00001-of-00001.safetensors"
    spoilt = bytearray(part.read_bytes())
    spoilt[-1] ^= 1
    part.write_bytes(bytes(spoilt))
    ended = finish(program, recipe, run)
    assert ended.err == f"WARNING: {part}: not as it was written; trying the one before\n"
    run_files.assert_same(run, uninterrupted)


@pytest.mark.parametrize(
    ("before", "after", "processes"),
    [
        ("fsdp", "fsdp", 3),
        ("fsdp", "ddp", 2),
        ("fsdp", "single", 1),
        ("single", "fsdp", 2),
    ],
)
def test_going_on_in_another_mode(
    program, recipe, uninterrupted, tmp_path, before, after, processes, run_files
) -> None:
    """Losses go on as they would have: weights, moments and averages came along."""
    run = tmp_path / "run"
    stopped = go(program, recipe, run, parallel=before, term_at_step=4)
    assert stopped.status == 130, stopped.err
    finish(program, recipe, run, parallel=after, processes=processes)
    ours, theirs = (run_files.rows(each, "step") for each in (run, uninterrupted))
    assert [row["step"] for row in ours] == list(range(1, LAST + 1))
    assert [row["task"] for row in ours] == [row["task"] for row in theirs]
    for key in ("loss", "grad_norm"):
        assert [row[key] for row in ours] == pytest.approx([row[key] for row in theirs], abs=1e-4)
    newest = run / "checkpoints" / f"step-{LAST:08d}" / "manifest.json"
    assert json.loads(newest.read_text())["format_version"] == (2 if after == "fsdp" else 1)
