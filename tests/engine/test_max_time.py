"""A run that is out of time ends well, and can be given more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bertmod import CheckpointError
from bertmod.engine import stopping
from bertmod.engine.checkpoint import load_newest
from bertmod.engine.run_folder import RunFolder
from bertmod.engine.stopping import TimeLimit


class Clock:
    """A clock that every look moves on by a second."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(stopping, "time", made)
    return made


SETTINGS = {"num_epochs": 5, "steps_per_epoch": 4, "evaluate_every": 20}


def test_it_ends_at_the_next_step(toy, tmp_path, caplog) -> None:
    """The last state is scored and saved though no evaluation was due."""
    caplog.set_level("INFO", "bertmod")
    with RunFolder(tmp_path / "run") as folder:
        trainer = toy.trainer(folder=folder, max_minutes=0.1, **SETTINGS)
        results = trainer.fit()
        newest = load_newest(folder.checkpoints)
    assert 0 < trainer.step < 20
    assert newest is not None
    assert newest.step == trainer.step == newest.state["counters"]["evaluated_at"]
    assert newest.state["time"]["seconds"] >= 6
    assert all(result.final is not None for result in results)
    said = f"training.max_minutes 0.1 are up: the run ends after step {trainer.step} of 20"
    assert said in [record.getMessage() for record in caplog.records]


def test_one_step_is_made_at_least(toy) -> None:
    trainer = toy.trainer(max_minutes=1e-9, **SETTINGS)
    trainer.fit()
    assert trainer.step == 1


def test_more_time_goes_on_where_it_ended(toy, tmp_path) -> None:
    """And ends as a run without a limit, since no evaluation changes what this one does."""
    whole = toy.model(dropout=0.1)
    toy.trainer(whole, **SETTINGS).fit()
    model = toy.model(dropout=0.1)
    with RunFolder(tmp_path / "run") as folder:
        toy.trainer(model, folder=folder, max_minutes=0.1, **SETTINGS).fit()
        trainer = toy.trainer(toy.model(seed=5), folder=folder, max_minutes=0.1, **SETTINGS)
        trainer.fit(resume=True)
        assert trainer.step == load_newest(folder.checkpoints).step  # still out of time
        other = toy.model(seed=6, dropout=0.1)
        toy.trainer(other, folder=folder, max_minutes=100, **SETTINGS).fit(resume=True)
    assert toy.changed(toy.values(whole), other) == set()


def test_a_limit_may_be_lifted_or_set_on_the_way(toy, tmp_path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        toy.trainer(folder=folder, max_minutes=0.1, **SETTINGS).fit()
        lifted = toy.trainer(folder=folder, **SETTINGS)
        lifted.fit(resume=True)
        assert lifted.step == 20
        longer = {**SETTINGS, "num_epochs": 50}
        limited = toy.trainer(folder=folder, max_minutes=0.1, **longer)
        limited.fit(resume=True)
        assert 20 < limited.step < 40


def test_the_time_before_a_resume_counts(clock) -> None:
    limit = TimeLimit(1.0)
    limit.load_state_dict({"seconds": 50.0})
    limit.start()
    assert not limit.up
    clock.now += 9
    assert limit.up
    assert limit.state_dict()["seconds"] > 60


def test_other_state_is_refused() -> None:
    with pytest.raises(CheckpointError, match="unknown state of the time limit"):
        TimeLimit(1.0).load_state_dict({"minutes": 1})


@pytest.mark.slow
def test_from_a_recipe(program, write_recipe, tmp_path) -> None:
    """It ends with status 0, a final state and predictions; --resume may give it more time."""
    recipe, run = (
        write_recipe(tmp_path / "recipe", training={"max_minutes": 1e-6}),
        tmp_path / "run",
    )
    ended = program("run", recipe, "--output", run)
    assert ended.status == 0, ended.err
    assert "training.max_minutes 1e-06 are up: the run ends after step 1 of 24" in ended.err
    assert step_of(run) == 1
    assert (run / "predictions").is_dir()
    again = program("run", recipe, "--output", run, "--resume", "--set", "training.max_minutes=60")
    assert again.status == 0, again.err
    assert step_of(run) == 24
    assert json.loads((run / "recipe.json").read_text())["training"]["max_minutes"] == 60


def step_of(run: Path) -> int:
    return json.loads((run / "final" / "rte" / "task.json").read_text())["step"]


def test_the_clock_is_no_part_of_other_runs(toy, tmp_path) -> None:
    """Without a limit two runs leave the same checkpoints, bit for bit."""
    found = []
    for name in ("a", "b"):
        with RunFolder(tmp_path / name) as folder:
            torch.manual_seed(0)
            toy.trainer(folder=folder, **SETTINGS).fit()
            found.append((folder.checkpoints / "step-00000020" / "manifest.json").read_bytes())
    assert found[0] == found[1]
