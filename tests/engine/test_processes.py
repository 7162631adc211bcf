"""The program in several processes: signals, resuming, and what does not fit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bertmod.engine.interrupt import WHAT_FOLLOWS
from bertmod.machine.limits import usable_cores

pytestmark = pytest.mark.slow

LAST = 24


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, write_recipe) -> Path:
    """Two tasks, a sampler that listens to evaluations, idle moments, 24 steps."""
    return write_recipe(tmp_path_factory.mktemp("recipe"), sampler={"name": "listener"})


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, program, recipe) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    ended = program("run", recipe, "--output", run, "--quiet", processes=2)
    assert ended.status == 0, ended.err
    assert ended.others == (0,)
    assert ended.others_err == ("",)
    return run


def finish(program, recipe: Path, run: Path, *, processes: int):
    """Go on with a run, or start it if it had not begun."""
    words = ["--resume"] if (run / "recipe.json").exists() else []
    ended = program("run", recipe, "--output", run, "--quiet", *words, processes=processes)
    assert ended.status == 0, ended.err
    return ended


def test_what_a_run_of_two_processes_leaves(uninterrupted, run_files) -> None:
    assert len(run_files.rows(uninterrupted, "step")) == LAST
    assert json.loads((uninterrupted / "recipe.json").read_text())["training"]["parallel"] == "ddp"
    assert json.loads((uninterrupted / "lock.json").read_text())["processes"] == 2
    assert sorted(path.name for path in (uninterrupted / "predictions").iterdir())


def test_two_processes_score_as_one(program, write_recipe, tmp_path, run_files) -> None:
    """Evaluation batches of 7 rows are dealt to both; an optimizer that moves nothing."""
    still = write_recipe(
        tmp_path,
        optimizer={"name": "still"},
        evaluation={"batch_size": 7},
        training={"num_epochs": 1, "dropout_epochs": 0},
    )
    runs = [tmp_path / f"run{size}" for size in (1, 2)]
    for size, run in enumerate(runs, start=1):
        ended = program("run", still, "--output", run, "--quiet", processes=size)
        assert ended.status == 0, ended.err
    assert run_files.rows(runs[0], "evaluation") == run_files.rows(runs[1], "evaluation")
    assert run_files.content(runs[0] / "predictions") == run_files.content(runs[1] / "predictions")
    losses = [[row["loss"] for row in run_files.rows(run, "step")] for run in runs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize("struck", [0, 1])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_to_any_process_stops_all_after_the_step(
    program, recipe, uninterrupted, tmp_path, struck, name, run_files
) -> None:
    run = tmp_path / "run"
    ended = program(
        "run",
        recipe,
        "--output",
        run,
        "--quiet",
        processes=2,
        struck_rank=struck,
        term_at_step=10,
        signal=name,
    )
    told = f"error: stopped by {name} after step 10; go on with --resume\n"
    at_once = "" if struck else f"{name} received: {WHAT_FOLLOWS}\n"
    assert (ended.status, ended.others) == (130, (130,))
    assert ended.err == at_once + told
    assert (run / "checkpoints" / "step-00000010").is_dir()
    finish(program, recipe, run, processes=2)
    run_files.assert_same(run, uninterrupted)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_resuming_with_another_number_of_processes(
    program, recipe, tmp_path, before, after, run_files
) -> None:
    run = tmp_path / "run"
    stopped = program("run", recipe, "--output", run, "--quiet", processes=before, term_at_step=10)
    assert stopped.status == 130, stopped.err
    first = run_files.rows(run, "step")
    ended = finish(program, recipe, run, processes=after)
    steps = run_files.rows(run, "step")
    assert steps[:10] == first
    assert [row["step"] for row in steps] == list(range(1, LAST + 1))
    settled = json.loads((run / "recipe.json").read_text())["training"]["parallel"]
    assert settled == ("single", "ddp")[after - 1]
    lock = json.loads((run / "lock.json").read_text())
    assert lock["processes"] == after
    assert [earlier["processes"] for earlier in lock["resumed_from"]] == [before]
    assert ended.err == (
        "WARNING: this run goes on with something else than before:\n"
        f"  processes: {before} before, {after} now\n"
        "  it may end with other last bits than without the change;\n"
        "  another number of processes draws other dropout masks, too\n"
    )


def test_processes_with_different_recipes(program, recipe, tmp_path) -> None:
    run = tmp_path / "run"
    ended = program(
        "run",
        recipe,
        "--output",
        run,
        processes=2,
        more_words={1: ["--set", "optimizer.learning_rate=0.5"]},
    )
    assert (ended.status, ended.others) == (2, (2,))
    assert ended.err == (
        "the processes of this run have different recipes: 1 problem\n"
        "  optimizer.learning_rate\n"
        "      0.003 in process 0, 0.5 in process 1\n"
    )
    assert not run.exists()


def test_what_cannot_be_shared(program, write_recipe, tmp_path) -> None:
    recipe = write_recipe(
        tmp_path,
        tasks=[{"name": "rte"}, {"name": "stsb", "batch_size": 6}],
        training={"parallel": "single", "gradient_accumulation_steps": 2, "device": "cuda:0"},
    )
    ended = program("run", recipe, "--output", tmp_path / "run", processes=2)
    assert (ended.status, ended.others) == (2, (2,))
    assert ended.err == (
        f"{recipe}: 3 problems\n"
        "  training.parallel\n"
        '      "single" is for one process, and there are 2\n'
        '      accepted here: "auto", "ddp" or "fsdp"\n'
        "      or start one process\n"
        "  training.device\n"
        '      "cuda:0" is one GPU, and each of 2 processes has its own\n'
        '      accepted here: "auto", "cpu" or "cuda"\n'
        "  tasks[1].batch_size\n"
        "      6 cannot be shared evenly by 2 processes times gradient_accumulation_steps 2\n"
        "      use a multiple of 4, or 1, 3 processes\n"
    )
    assert not (tmp_path / "run").exists()


def test_more_processes_than_cores(program, recipe, tmp_path) -> None:
    cores = usable_cores()
    ended = program("run", recipe, "--output", tmp_path / "run", "--nproc", "999")
    assert ended.status == 2
    assert ended.err == (
        "this machine: 1 problem\n"
        "  --nproc\n"
        f"      999 processes, and this machine has {cores} cores\n"
        f"      use at most {cores}\n"
    )
    assert not (tmp_path / "run").exists()


def test_ddp_of_one_process(program, recipe, tmp_path) -> None:
    run = tmp_path / "run"
    words = ("--set", 'training.parallel="ddp"', "--set", "training.num_epochs=1", "--nproc", "1")
    ended = program("run", recipe, "--output", run, "--quiet", *words)
    assert ended.status == 0, ended.err
    assert json.loads((run / "recipe.json").read_text())["training"]["parallel"] == "ddp"


def test_nproc_beside_what_does_not_go_with_it(program, recipe, tmp_path) -> None:
    twice = program("run", recipe, "--output", tmp_path / "run", "--nproc", "2", processes=2)
    assert twice.status == 2
    assert twice.err == (
        "error: Invalid value for '--nproc': torchrun has started 2 processes already; "
        "leave it out\ntry: bertmod run --help\n"
    )
    seeds = program("run", recipe, "--output", tmp_path / "run", "--nproc", "2", "--seeds", "1,2")
    assert seeds.status == 2
    assert seeds.err == (
        "error: Invalid value: a series of seeds is made by one process; make one run for each "
        "seed: --set seed=1 --nproc N --output DIR\ntry: bertmod run --help\n"
    )


def test_a_series_of_seeds_in_parts(program, recipe, tmp_path) -> None:
    """A series is made by one process, which is known before its first run begins."""
    words = ("--output", tmp_path / "series", "--seeds", "1,2")
    ended = program("run", recipe, *words, "--set", 'training.parallel="fsdp"')
    assert ended.status == 2
    assert ended.err == (
        f"{recipe}: 1 problem\n"
        "  training.parallel\n"
        '      "fsdp" shares a model between processes, and there is one\n'
        "      start several: --nproc N, or torchrun\n"
        '      or use "auto", "single" or "ddp"\n'
    )
    assert not (tmp_path / "series").exists()


def started(program, recipe: Path, run: Path, *words: str) -> subprocess.Popen[str]:
    """``--nproc 2`` as a user starts it, once it has saved."""
    before = set(run.glob("checkpoints/step-*"))
    options = ["--output", run, "--nproc", "2", "--quiet", "--set", "training.num_epochs=5000"]
    launcher = subprocess.Popen(
        [sys.executable, "-m", "bertmod", "run", recipe, *options, *words],
        env=program.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 120
    while not set(run.glob("checkpoints/step-*")) - before:
        assert launcher.poll() is None, launcher.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)
    return launcher


def workers(launcher: subprocess.Popen[str]) -> list[int]:
    """Process ids of the processes that a launcher started, by rank."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()

    def rank(pid: str) -> int:
        given = Path(f"/proc/{pid}/environ").read_text().split("\0")
        return int(next(each for each in given if each.startswith("RANK=")).removeprefix("RANK="))

    return [int(pid) for pid in sorted(children, key=rank)]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
@pytest.mark.skipif(usable_cores() < 2, reason="there is one core")
def test_nproc_as_a_user_starts_it(program, recipe, tmp_path) -> None:
    """A killed process ends the launcher and the rest; a signal to the launcher reaches all."""
    run = tmp_path / "run"
    launcher = started(program, recipe, run)
    os.kill(workers(launcher)[1], signal.SIGKILL)
    said = launcher.communicate(timeout=60)[1]
    assert launcher.returncode == 1
    assert said == (
        "error: process 1 of 2 (from 0) was killed by SIGKILL; the others were stopped\n"
        "  go on with the same command and --resume\n"
    )
    launcher = started(program, recipe, run, "--resume")
    launcher.send_signal(signal.SIGTERM)
    said = launcher.communicate(timeout=60)[1]
    assert launcher.returncode == 130
    step = max(int(path.name.removeprefix("step-")) for path in run.glob("checkpoints/step-*"))
    assert said == (
        f"SIGTERM received: {WHAT_FOLLOWS}\n"
        f"error: stopped by SIGTERM after step {step}; go on with --resume\n"
    )
    assert not (run / "run.pid").exists()


@pytest.mark.skipif(usable_cores() < 2, reason="there is one core")
def test_nproc_stopped_twice(program, recipe, tmp_path) -> None:
    """The first signal finds processes that do not end, as in a long step; the second ends them.

    Whoever goes on pressing the keys changes nothing.
    """
    run = tmp_path / "run"
    launcher = started(program, recipe, run)
    stuck = workers(launcher)
    for pid in stuck:
        os.kill(pid, signal.SIGSTOP)
    while launcher.poll() is None:
        launcher.send_signal(signal.SIGINT)
        time.sleep(0.05)
    said = launcher.communicate(timeout=60)[1]
    assert (launcher.returncode, said) == (130, "stopped at once; go on with --resume\n")
    assert not any(Path(f"/proc/{pid}").exists() for pid in stuck)


@pytest.mark.skipif(usable_cores() < 2, reason="there is one core")
def test_nproc_passes_on_what_stands_before_the_command(program, recipe, tmp_path) -> None:
    """A folder in use is found by the first process; what it says is said once, with its cause."""
    (tmp_path / "notes.txt").write_text("mine")
    options = ["--output", tmp_path, "--nproc", "2"]
    ended = subprocess.run(
        [sys.executable, "-m", "bertmod", "--debug", "run", recipe, *options],
        env=program.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("Traceback (most recent call last)")
    assert ended.stderr.count(f"error: {tmp_path}: already holds a run\n") == 1


@pytest.mark.multigpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two GPUs")
def test_two_gpus(program, write_recipe, tmp_path, run_files) -> None:
    training = {"num_epochs": 1, "dropout_epochs": 0, "device": "cuda"}
    recipe, runs = write_recipe(tmp_path, training=training), [tmp_path / "one", tmp_path / "two"]
    for words, run in zip(((), ("--nproc", "2")), runs, strict=True):
        words = [sys.executable, "-m", "bertmod", "run", recipe, "--output", run, *words]
        subprocess.run(words, env=program.environment, check=True, timeout=300)
    losses = [[row["loss"] for row in run_files.rows(run, "step")] for run in runs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
