"""Trackers hear everything once, and none of them can stop a run."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from bertmod.engine.run_folder import RunFolder


class Listener:
    """Writes down what it hears; raises at one kind of event."""

    def __init__(self, fails_at: str = "") -> None:
        self.heard: list[tuple] = []
        self.fails_at = fails_at

    def _hear(self, *event) -> None:
        self.heard.append(event)
        if event[0] == self.fails_at:
            raise RuntimeError("the server is gone")

    def resumed(self, step):
        self._hear("resumed", step)

    def stepped(self, step, values):
        self._hear("stepped", step, values)

    def evaluated(self, step, scores):
        self._hear("evaluated", step, scores)

    def saved(self, step, path):
        self._hear("saved", step, path)

    def close(self):
        self._hear("close")


SETTINGS = {"num_epochs": 2, "steps_per_epoch": 3, "evaluate_every": 3, "save_every": 2}


def test_what_a_tracker_hears(toy, tmp_path) -> None:
    listener = Listener()
    with RunFolder(tmp_path / "run") as folder:
        toy.trainer(folder=folder, trackers=[listener], **SETTINGS).fit()
    assert [event[:2] for event in listener.heard] == [
        ("stepped", 1),
        ("stepped", 2),
        ("saved", 2),
        ("stepped", 3),
        ("evaluated", 3),
        ("stepped", 4),
        ("saved", 4),
        ("stepped", 5),
        ("stepped", 6),
        ("evaluated", 6),
        ("saved", 6),
        ("close",),
    ]
    step = listener.heard[0][2]
    assert step.keys() == {
        "task",
        "loss",
        "losses",
        "grad_norm",
        "learning_rate",
        "features",
        "tokens",
    }
    assert listener.heard[4][2].keys() == {"flag/dev/score", "size/dev/score"}
    assert listener.heard[2][2] == folder.checkpoints / "step-00000002"


@pytest.mark.parametrize("event", ["stepped", "evaluated", "saved", "close"])
def test_a_tracker_that_raises_is_dropped_with_one_warning(toy, tmp_path, caplog, event) -> None:
    bad, good = Listener(event), Listener()
    with RunFolder(tmp_path / "run") as folder, caplog.at_level(logging.WARNING, "bertmod"):
        results = toy.trainer(folder=folder, trackers=[bad, good], **SETTINGS).fit()
    assert len(results) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "tracker Listener failed and is dropped: RuntimeError('the server is gone')"
    ]
    assert bad.heard[-1][0] == event
    assert [entry[0] for entry in bad.heard].count(event) == 1
    assert good.heard[-1] == ("close",)


def test_trackers_hear_where_a_run_goes_on(toy, tmp_path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        toy.trainer(folder=folder, **SETTINGS).fit()
        listener = Listener()
        toy.trainer(folder=folder, trackers=[listener], **{**SETTINGS, "num_epochs": 3}).fit(
            resume=True
        )
        assert [event[:2] for event in listener.heard][:2] == [("resumed", 6), ("stepped", 7)]


def test_a_run_without_checkpoint_begins_again(toy, tmp_path, caplog) -> None:
    listener = Listener()
    with RunFolder(tmp_path / "run") as folder:
        toy.trainer(folder=folder, trackers=[listener], **SETTINGS).fit(resume=True)
    assert [event[:2] for event in listener.heard][:2] == [("resumed", 0), ("stepped", 1)]
    assert "no checkpoint to resume from: starting at step 0" in caplog.text


# A tracking service's client, installed as a plugin: the hook is all that it needs.


def calls(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "service.jsonl").read_text().splitlines()]


@pytest.fixture
def recipe(write_recipe, tmp_path) -> Path:
    return write_recipe(tmp_path / "recipe", trackers=[{"name": "service"}])


@pytest.mark.slow
def test_a_service_hears_a_run_that_is_stopped_and_resumed(program, recipe, tmp_path) -> None:
    run = tmp_path / "run"
    assert program("run", recipe, "--output", run, "--quiet", term_at_step=10).status == 130
    ended = program("run", recipe, "--output", run, "--quiet", "--resume")
    assert ended.status == 0, ended.err
    heard = calls(run)
    begins = [call for call in heard if call["call"] == "init"]
    assert [call["id"] for call in begins] == ["run-42", "run-42"]
    assert begins[0]["config"]["training"]["num_epochs"] == 3
    assert [call["step"] for call in heard if call["call"] == "define_rewind"] == [10]
    losses = [call for call in heard if call["call"] == "log" and "loss" in str(call["data"])]
    assert [call["step"] for call in losses] == list(range(1, 25))
    scores = [
        call for call in heard if call["call"] == "log" and "rte/dev/accuracy" in call["data"]
    ]
    assert [call["step"] for call in scores] == [4, 8, 12, 16, 20, 24]
    assert {"step-00000010", "step-00000024"} <= {call.get("path") for call in heard}
    assert [call["call"] for call in heard if call["call"] == "finish"] == ["finish", "finish"]


@pytest.fixture
def here_with(program, tmp_path):
    """Runs a recipe in a process of its own, with variables of its own."""

    def run(recipe: Path, **variables: str):
        words = ["run", recipe, "--output", tmp_path / "run", "--quiet"]
        done = subprocess.run(
            [sys.executable, "-m", "bertmod", *map(str, words)],
            env={**program.environment, **variables},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stderr, tmp_path / "run"

    return run


@pytest.mark.slow
def test_a_service_out_of_reach_stops_nothing(recipe, here_with) -> None:
    """Neither when it is built nor later; what was asked for on purpose is an error at once."""
    status, err, run = here_with(recipe, BERTMOD_TEST_NO_SERVICE="1")
    assert status == 0
    assert "WARNING: tracker service failed and is dropped: ConnectionError('no service')" in err
    assert (run / "final").is_dir()


@pytest.mark.slow
def test_a_tracker_that_lacks_a_package_is_refused(program, write_recipe, tmp_path) -> None:
    recipe = write_recipe(tmp_path / "recipe", trackers=[{"name": "unable"}])
    ended = program("run", recipe, "--output", tmp_path / "run", "--quiet")
    assert ended.status == 2
    assert ended.err == ('error: needs a package that is not installed: pip install "a-client"\n')
    assert not (tmp_path / "run").exists()
