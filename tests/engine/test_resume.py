"""A run that was stopped, and what it is told that goes on; kills are in ``test_faults.py``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertmod.engine.interrupt import WHAT_FOLLOWS

pytestmark = pytest.mark.slow

LAST = 24


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, write_recipe) -> Path:
    """Two tasks, a sampler that listens to evaluations, idle moments, 24 steps."""
    return write_recipe(
        tmp_path_factory.mktemp("recipe"),
        sampler={"name": "listener"},
        trackers=[{"name": "tensorboard"}],
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, program, recipe) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    ended = program("run", recipe, "--output", run, "--quiet")
    assert ended.status == 0, ended.err
    return run


def finish(program, recipe: Path, run: Path):
    """Go on with a run, or start it if it had not begun."""
    words = ["--resume"] if (run / "recipe.json").exists() else []
    ended = program("run", recipe, "--output", run, "--quiet", *words)
    assert ended.status == 0, ended.err
    return ended


def test_the_same_run_twice(program, recipe, uninterrupted, tmp_path, run_files) -> None:
    assert program("run", recipe, "--output", tmp_path / "run", "--quiet").status == 0
    run_files.assert_same(tmp_path / "run", uninterrupted)
    assert len(run_files.rows(uninterrupted, "step")) == LAST
    weights = run_files.rows(uninterrupted, "evaluation")
    assert [row["step"] for row in weights] == [4, 8, 12, 16, 20, 24]


@pytest.fixture(scope="module")
def num_changes(program, recipe, tmp_path_factory) -> int:
    """Changes of files that a whole run makes in its folder: where kills are placed."""
    run = tmp_path_factory.mktemp("counted") / "run"
    assert program("run", recipe, "--output", run, "--quiet", kill_at=0).status == 0
    assert program.changes > 300
    return program.changes


def test_killed_between_the_best_and_the_checkpoint(
    program, recipe, uninterrupted, num_changes, tmp_path, run_files
) -> None:
    """``best/`` is then ahead of the checkpoint: of every such instant, the first one found."""
    for place in range(num_changes // 2, num_changes):
        run = tmp_path / str(place)
        program("run", recipe, "--output", run, "--quiet", kill_at=place)
        told = run / "best" / "mean" / "rte" / "task.json"
        if not told.is_file():  # killed while one best state took the place of another
            continue
        best = json.loads(told.read_text())["step"]
        newest = max(path.name for path in (run / "checkpoints").glob("step-*"))
        if best > int(newest.removeprefix("step-")):
            finish(program, recipe, run)
            run_files.assert_same(run, uninterrupted)
            return
    pytest.fail("no kill left best/ ahead of the checkpoint")


@pytest.mark.parametrize(("signal", "step"), [("SIGTERM", 7), ("SIGINT", 12), ("SIGTERM", 1)])
def test_a_signal_finishes_the_step_and_saves(
    program, recipe, uninterrupted, tmp_path, signal, step, run_files
) -> None:
    run = tmp_path / "run"
    stopped = program("run", recipe, "--output", run, "--quiet", term_at_step=step, signal=signal)
    assert stopped.status == 130
    assert stopped.err == (
        f"{signal} received: {WHAT_FOLLOWS}\n"
        f"error: stopped by {signal} after step {step}; go on with --resume\n"
    )
    assert stopped.out == ""
    assert (run / "checkpoints" / f"step-{step:08d}").is_dir()
    assert run_files.rows(run, "step")[-1]["step"] == step
    finish(program, recipe, run)
    run_files.assert_same(run, uninterrupted)


def test_a_finished_run_ends_quietly_with_its_table(
    program, recipe, uninterrupted, run_files
) -> None:
    before = (
        run_files.content(uninterrupted / "checkpoints"),
        run_files.content(uninterrupted / "final"),
    )
    lines = (uninterrupted / "metrics.jsonl").read_bytes()
    ended = program("run", recipe, "--output", uninterrupted, "--resume")
    assert ended.status == 0
    assert ended.err == ""
    assert "plain mean of 2" in ended.out
    assert before == (
        run_files.content(uninterrupted / "checkpoints"),
        run_files.content(uninterrupted / "final"),
    )
    assert (uninterrupted / "metrics.jsonl").read_bytes() == lines


def test_a_run_can_be_made_longer_and_nothing_else(program, recipe, tmp_path, run_files) -> None:
    run = tmp_path / "run"
    assert program("run", recipe, "--output", run, "--quiet").status == 0

    def resume(*changes: str):
        words = [word for change in changes for word in ("--set", change)]
        return program("run", recipe, "--output", run, "--quiet", "--resume", *words)

    refused = resume("training.num_epochs=2", "seed=43", "optimizer.learning_rate=0.002")
    assert refused.status == 2
    assert refused.out == ""
    assert refused.err == (
        f"{recipe} does not go on with this run: 3 problems\n"
        "  seed\n"
        "      42 when the run began, 43 now\n"
        "      of a changed recipe these are taken: a larger training.num_epochs, "
        "training.activation_checkpointing, training.compile, training.fast, "
        "training.gradient_accumulation_steps, training.max_minutes, training.offload, "
        "training.parallel, evaluation.batch_size\n"
        "  optimizer.learning_rate\n"
        "      0.003 when the run began, 0.002 now\n"
        "      of a changed recipe these are taken: a larger training.num_epochs, "
        "training.activation_checkpointing, training.compile, training.fast, "
        "training.gradient_accumulation_steps, training.max_minutes, training.offload, "
        "training.parallel, evaluation.batch_size\n"
        "  training.num_epochs\n"
        "      3 when the run began, 2 now\n"
        "      a run can be made longer, not shorter\n"
    )
    before = run_files.rows(run, "step", "evaluation")
    longer = resume("training.num_epochs=4")
    assert longer.status == 0, longer.err
    after = run_files.rows(run, "step", "evaluation")
    assert after[: len(before)] == before
    assert after[-1]["step"] == 32
    assert json.loads((run / "recipe.json").read_text())["training"]["num_epochs"] == 4
    assert json.loads((run / "final" / "rte" / "task.json").read_text())["step"] == 32
    assert resume("training.num_epochs=4").status == 0


def test_a_damaged_newest_checkpoint_is_reported_and_passed_over(
    program, recipe, uninterrupted, tmp_path, run_files
) -> None:
    run = tmp_path / "run"
    program("run", recipe, "--output", run, "--quiet", term_at_step=10)
    newest = run / "checkpoints" / "step-00000010" / "model.safetensors"
    spoilt = bytearray(newest.read_bytes())
    spoilt[-1] ^= 1
    newest.write_bytes(bytes(spoilt))
    ended = finish(program, recipe, run)
    assert ended.err == f"WARNING: {newest}: not as it was written; trying the one before\n"
    run_files.assert_same(run, uninterrupted)


def test_no_whole_checkpoint(program, recipe, tmp_path) -> None:
    run = tmp_path / "run"
    program("run", recipe, "--output", run, "--quiet", term_at_step=10)
    for path in (run / "checkpoints").glob("*/state.json"):
        path.unlink()
    ended = program("run", recipe, "--output", run, "--quiet", "--resume")
    assert ended.status == 2
    assert ended.err.endswith(f"error: {run / 'checkpoints'}: none of its 2 checkpoints is whole\n")
    assert "Traceback" not in ended.err


@pytest.mark.usefixtures("uninterrupted")  # which writes the sample
def test_other_data_is_refused(program, recipe, tmp_path) -> None:
    import shutil

    sample = next(Path(program.environment["XDG_CACHE_HOME"]).glob("bertmod/sample*"))
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(sample, data)
    words = ["run", recipe, "--data", data, "--output", run, "--quiet"]
    vocabulary = f'tokenizer={{"name": "wordpiece", "vocab": "{data / "vocab.txt"}"}}'
    words += ["--set", vocabulary]
    stopped = program(*words, term_at_step=2)
    assert stopped.status == 130, stopped.err
    changed, other = data / "RTE" / "train.tsv", data / "RTE" / "dev.tsv"
    cut = "".join(changed.read_text().splitlines(keepends=True)[:-5])
    for content in (cut, other.read_text()):  # the latter is a file's that the run began with
        changed.write_text(content)
        refused = program(*words, "--resume")
        assert refused.status == 2
        assert refused.err == (
            f"error: not the data that the run began with:\n  {changed}\n"
            "  put the files back, or start another run with --output\n"
        )
