"""``bertmod run --seeds``: a series of runs that differ in their seed."""

from __future__ import annotations

import json
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

SYNTHETIC = "The built-in sample is synthetic: its scores say that training works, no more."
LOOSE = ("--set", "optimizer.learning_rate=1e30")
"""Options that end a run after a few steps."""


def steps(folder: Path) -> list[str]:
    """The checkpoints of a run."""
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def tensors(folder: Path) -> dict[str, bytes]:
    """The weights of a run's last state, as files."""
    found = sorted((folder / "final").glob("*/model.safetensors"))
    return {path.parent.name: path.read_bytes() for path in found}


def score(folder: Path, task: str, state: str = "final") -> float:
    """What a run says of a task."""
    return float(json.loads((folder / state / task / "task.json").read_text())["score"])


@pytest.fixture
def two(recipe) -> str:
    """A tiny recipe of two tasks."""
    return recipe("two.json", tasks=[{"name": "mrpc"}, {"name": "rte"}])


def test_a_series(here, two, tmp_path) -> None:
    result = here("run", two, "--seeds", "1, 2,3", "--quiet")
    assert (result.returncode, result.stderr) == (0, "")
    folders = [tmp_path / f"runs/two/seed-{seed}" for seed in (1, 2, 3)]
    assert sorted((tmp_path / "runs/two").iterdir()) == folders
    assert [json.loads((f / "recipe.json").read_text())["seed"] for f in folders] == [1, 2, 3]
    lines = result.stdout.splitlines()
    assert lines[:2] == ["runs/two", SYNTHETIC]
    assert re.split("  +", lines[2]) == [
        *("task", "metric", "last", "st. dev.", "best mean", "st. dev."),
    ]
    for line, task in zip(lines[4:6], ("mrpc", "rte"), strict=True):
        cells = []
        for state in ("final", "best/mean"):
            found = [score(folder, task, state) for folder in folders]
            cells += [f"{statistics.fmean(found):.4f}", f"{statistics.stdev(found):.4f}"]
        assert line.split() == [task, "dev/accuracy", *cells]
    assert lines[6].startswith("plain mean of 2 ")
    assert lines[7:] == ["mean and sample standard deviation over 3 seeds: 1, 2, 3"]
    alone = here("run", two, "--set", "seed=2", "--output", "alone", "--quiet")
    assert alone.returncode == 0
    assert tensors(folders[1]) == tensors(tmp_path / "alone")
    assert tensors(folders[1]) != tensors(folders[0])
    same = (folders[1] / "recipe.json").read_bytes()
    assert same == (tmp_path / "alone/recipe.json").read_bytes()


def test_what_is_shown_while_it_runs(here, two) -> None:
    result = here("run", two, "--seeds", "7", "--output", "out/deep")
    assert result.returncode == 0
    assert result.stderr.splitlines()[0] == "seed 7, 1 of 1: out/deep/seed-7"
    lines = result.stdout.splitlines()
    assert lines[0] == "two.json: out/deep/seed-7"
    assert lines[-1] == "mean and sample standard deviation over 1 seed: 7"
    assert lines[-4].split()[3] == "-", "one seed has no standard deviation"


def test_resume_passes_over_goes_on_and_starts(here, two, tmp_path) -> None:
    folder = tmp_path / "runs/two"
    assert here("run", two, "--seeds", "1,2", "--quiet").returncode == 0
    before = (folder / "seed-1/log.txt").read_bytes()
    unfinished = folder / "seed-2"
    for kept in ("final", "predictions", "checkpoints/step-00000006"):
        (unfinished / kept).rename(unfinished / f"gone-{Path(kept).name}")
    refused = here("run", two, "--seeds", "3,2")
    assert (refused.returncode, refused.stderr) == (
        2,
        "error: runs/two/seed-2: already holds a run\n"
        "  go on with it: --resume\n  start another: --output NEW_FOLDER\n",
    )
    assert not (folder / "seed-3").exists(), "refused before anything starts"
    result = here("run", two, "--seeds", "1,2,3", "--resume")
    assert result.returncode == 0
    assert [line for line in result.stderr.splitlines() if line.startswith("seed ")] == [
        "seed 1, 1 of 3: runs/two/seed-1 is finished, passed over",
        "seed 2, 2 of 3: runs/two/seed-2 goes on",
        "seed 3, 3 of 3: runs/two/seed-3",
    ]
    assert (folder / "seed-1/log.txt").read_bytes() == before
    assert steps(unfinished) == ["step-00000003", "step-00000006"]
    assert (folder / "seed-3/final").is_dir()
    assert result.stdout.splitlines()[-1].endswith("over 3 seeds: 1, 2, 3")


def test_a_series_made_longer(here, two, tmp_path) -> None:
    assert here("run", two, "--seeds", "1", "--quiet").returncode == 0
    longer = ("--set", "training.num_epochs=3")
    result = here("run", two, "--seeds", "1", "--resume", "--quiet", *longer)
    assert (result.returncode, result.stderr) == (0, "")
    assert steps(tmp_path / "runs/two/seed-1") == ["step-00000006", "step-00000009"]


def test_later_seeds_take_the_data_of_the_first(here, recipe, cola, tmp_path) -> None:
    name = recipe()
    assert here("run", name, "--seeds", "1", "--data", "data", "--quiet").returncode == 0
    assert here("run", name, "--seeds", "1,2", "--resume", "--quiet").returncode == 0
    stored = json.loads((tmp_path / "runs/tiny/seed-2/recipe.json").read_text())
    assert stored["data"]["dir"] == str(cola)


def test_a_changed_recipe_names_the_seed(here, two) -> None:
    assert here("run", two, "--seeds", "1", "--quiet").returncode == 0
    changed = ("--set", "optimizer.learning_rate=0.5")
    result = here("run", two, "--seeds", "2,1", "--resume", *changed)
    assert (result.returncode, result.stderr) == (
        2,
        "two.json, runs/two/seed-1 does not go on with this run: 1 problem\n"
        "  optimizer.learning_rate\n"
        "      0.001 when the run began, 0.5 now\n"
        "      of a changed recipe these are taken: a larger training.num_epochs, "
        "training.activation_checkpointing, training.compile, training.fast, "
        "training.gradient_accumulation_steps, training.max_minutes, training.offload, "
        "training.parallel, evaluation.batch_size\n",
    )
    assert not Path("runs/two/seed-2").exists()


def test_a_run_that_fails_ends_the_series(here, two, tmp_path) -> None:
    result = here("run", two, "--seeds", "4,5,6", "--quiet", *LOOSE)
    assert (result.returncode, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert re.fullmatch(r"error: seed 4: step \d, task \w+: classification loss nan", lines[0])
    assert lines[-2:] == [
        "  seeds finished before it: none; after it, not begun: 5, 6",
        "  the same command with --resume goes on with the series",
    ]
    assert [path.name for path in (tmp_path / "runs/two").iterdir()] == ["seed-4"]


def test_missing_data_leaves_nothing(here, recipe, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    result = here("run", recipe(), "--seeds", "1,2", "--data", "empty")
    assert result.returncode == 2
    assert result.stderr.startswith("seed 1, 1 of 2: runs/tiny/seed-1\nerror: seed 1: ")
    assert not (tmp_path / "runs").exists()


USAGE = (
    "error: Invalid value for '--seeds': \"{}\" is no seed; accepted: integers from 0 to "
    "2**63 - 1 with commas between them, such as 1,2,3\ntry: bertmod run --help\n"
)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--seeds", "1,b"), USAGE.format("b")),
        (("--seeds", "1,,2"), USAGE.format("")),
        (("--seeds", "1.5"), USAGE.format("1.5")),
        (("--seeds=-1",), USAGE.format("-1")),
        (("--seeds", str(2**63)), USAGE.format(2**63)),
        (
            ("--seeds", "1,01"),
            "error: Invalid value for '--seeds': seed 1 is there twice\ntry: bertmod run --help\n",
        ),
        (
            ("--seeds", "1", "--set", "seed=3"),
            "two.json: 1 problem\n  seed (--set)\n      --seeds gives every run its seed\n"
            "      leave one of the two out\n",
        ),
    ],
)
def test_seeds_that_are_refused(here, two, tmp_path, words, message) -> None:
    result = here("run", two, *words)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", message)
    assert not (tmp_path / "runs").exists()


def test_folders_that_are_refused(here, two, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    result = here("run", two, "--seeds", "1", "--output", "file")
    assert (result.returncode, result.stderr) == (
        2,
        "error: file: is a file; name a folder with --output\n",
    )
    assert here("run", two, "--quiet").returncode == 0
    result = here("run", two, "--seeds", "1")
    assert (result.returncode, result.stderr) == (
        2,
        "error: runs/two: already holds a run, a series of seeds needs a folder of its own\n"
        "  name another with --output\n",
    )
    (tmp_path / "runs/two").rename(tmp_path / "seed-1")
    result = here("run", two, "--output", ".", "--resume")
    assert (result.returncode, result.stderr) == (
        2,
        "error: .: no run to resume here (it has no recipe.json)\n"
        "  it has runs of several seeds: name them with --seeds\n",
    )


@pytest.mark.slow
def test_ctrl_c_stops_the_series(bertmod, recipe, env, tmp_path) -> None:
    """The run that is going on is saved; the series goes on as if nothing had happened."""
    training = {"steps_per_epoch": 20, "num_epochs": 2, "device": "cpu", "precision": "fp32"}
    name = recipe(training={**training, "global_batch_size": 8}, saving={"every_steps": 4})
    command = [sys.executable, "-m", "bertmod", "run", name, "--seeds", "1,2,3", "--quiet"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folder = tmp_path / "runs/tiny"
    deadline = time.monotonic() + 120
    while not list(folder.glob("seed-2/checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (130, "")
    assert re.fullmatch(
        r"SIGINT received: [^\n]*\n"
        r"error: seed 2: stopped by SIGINT after step \d+; go on with --resume\n"
        "  seeds finished before it: 1; after it, not begun: 3\n"
        "  the same command with --resume goes on with the series\n",
        stderr,
    )
    assert not (folder / "seed-3").exists()
    assert bertmod(*command[3:], "--resume").returncode == 0
    alone = bertmod("run", name, "--set", "seed=2", "--output", "alone", "--quiet")
    assert alone.returncode == 0
    assert tensors(folder / "seed-2") == tensors(tmp_path / "alone")
    assert (folder / "seed-3/final").is_dir()
