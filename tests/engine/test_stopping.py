"""A task that gets no better is drawn no more, and the run ends with its last task."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bertmod import CheckpointError, SamplerContext, TrainingError
from bertmod.engine.checkpoint import load_newest
from bertmod.engine.counters import Counters
from bertmod.engine.evaluate import ScoredFeatures
from bertmod.engine.run_folder import RunFolder
from bertmod.engine.stopping import EarlyStop
from bertmod.engine.summary import render_results
from bertmod.library import build


class Told:
    """A dev split whose scores are told beforehand, one for each evaluation."""

    def __init__(self, features, scores) -> None:
        self._split, self._scores = ScoredFeatures(features, self._next), iter(scores)
        self.features, self.baseline = self._split.features, {}

    def _next(self, decoded):
        return {"score": next(self._scores)}

    def __getattr__(self, name):
        return getattr(self._split, name)


def task_with(toy, task: str, scores, **options):
    """A task that trains on random features and scores as told."""
    made = toy.task(task, **options)
    return type(made)(
        **{**vars(made), "dev": {"dev": Told(made.dev["dev"].features, scores)}},
    )


def drawn(trainer) -> list[str]:
    """The task of every step."""
    found: list[str] = []
    step = trainer.start_step

    def noting():
        task, result = step()
        found.append(task)
        return task, result

    trainer.start_step = noting
    trainer.fit()
    return found


SETTINGS = {"num_epochs": 6, "steps_per_epoch": 4, "evaluate_every": 4}


def test_a_stopped_task_is_drawn_no_more(toy) -> None:
    """Accuracy that falls stops after two evaluations; an error that falls goes on."""
    model = toy.model()
    flag = task_with(toy, "flag", [0.5, 0.6, 0.6, 0.5, 0.9, 0.9], patience=2)
    size = task_with(toy, "size", [3.0, 2.0, 1.0, 0.9, 0.8, 0.7], patience=2)
    trainer = toy.trainer(model, [flag, size], **SETTINGS)
    tasks = drawn(trainer)
    assert set(tasks[:16]) == {"flag", "size"}
    assert tasks[16:] == ["size"] * 8
    found = {result.task: result for result in trainer.results()}
    assert (found["flag"].stopped, found["flag"].updates) == (16, 8)
    assert (found["flag"].best, found["flag"].best_step) == (0.9, 20)  # it is still scored
    assert (found["size"].stopped, found["size"].updates) == (None, 16)
    assert "stopped early: flag after step 16" in render_results(trainer.results())


def test_its_adapters_and_head_stay_as_they_were(toy) -> None:
    model = toy.model()
    flag = task_with(toy, "flag", [0.5] * 6, patience=1)
    trainer = toy.trainer(model, [flag, toy.task("size")], **SETTINGS)
    for _ in range(4):
        trainer.train_step()
    trainer.fit()
    before = toy.values(model)
    longer = toy.trainer(model, [task_with(toy, "flag", [0.5] * 6, patience=1), toy.task("size")])
    longer._early.stopped["flag"] = 1
    for _ in range(3):
        assert longer.train_step()[0] == "size"
    assert not {name for name in toy.changed(before, model) if ".flag." in name}


def test_the_run_ends_when_every_task_has_stopped(toy, tmp_path, caplog) -> None:
    caplog.set_level("INFO", "bertmod")
    tasks = [
        task_with(toy, "flag", [0.5, 0.4, 0.3], patience=1),
        task_with(toy, "size", [1.0, 1.1, 1.2], patience=2),
    ]
    with RunFolder(tmp_path / "run") as folder:
        trainer = toy.trainer(toy.model(), tasks, folder=folder, **SETTINGS)
        trainer.fit()
        newest = load_newest(folder.checkpoints)
    assert trainer.step == 12
    assert newest is not None
    assert newest.step == 12
    assert newest.state["early_stop"]["stopped"] == {"flag": 8, "size": 12}
    said = [record.getMessage() for record in caplog.records]
    assert "task flag stops after step 8: not better than 0.5000 at step 4 in 1 evaluations" in said
    assert "no task is left to train: the run ends after step 12 of 24" in said


def test_a_task_without_patience_trains_to_the_end(toy) -> None:
    trainer = toy.trainer(tasks=[task_with(toy, "flag", [0.5] * 6), toy.task("size")], **SETTINGS)
    assert "flag" in drawn(trainer)[20:]
    assert "early_stop" not in trainer._stateful()


def test_evaluations_without_a_step_of_the_task_do_not_count() -> None:
    stop = EarlyStop({"rare": 2})
    counters = Counters({"rare": 0})
    counters.best["rare"] = (0.5, 0)
    lines = []
    for step, batches in enumerate([0, 0, 1, 1, 1, 2], 1):
        counters.step, counters.batches["rare"] = step, batches
        lines += stop.evaluated(counters, ["rare"])
    assert stop.stopped == {"rare": 6}
    assert len(lines) == 1


def test_a_better_score_begins_the_count_again() -> None:
    stop = EarlyStop({"one": 2})
    counters = Counters({"one": 0})
    for step, best in enumerate([1, 1, 3, 3, 3], 1):
        counters.step, counters.batches["one"] = step, step
        counters.best["one"] = (0.5, best)
        stop.evaluated(counters, ["one"])
    assert stop.stopped == {"one": 5}


def test_a_task_that_is_not_scored_is_not_stopped() -> None:
    stop = EarlyStop({"silent": 1})
    for step in range(1, 5):
        stop.evaluated(Counters({"silent": step}, step), [])
    assert stop.running == {"silent"}


def test_tasks_of_weight_zero_do_not_keep_a_run_alive(toy) -> None:
    """A sampler that can draw no running task ends the run; before any stop it is an error."""
    tasks = [task_with(toy, "flag", [0.5] * 6, patience=1), toy.task("size")]
    context = SamplerContext.of({task.id: task.train for task in tasks})
    sampler = build("sampler", "explicit", context, weights={"flag": 1.0, "size": 0.0})
    trainer = toy.trainer(toy.model(), tasks, sampler=sampler, **SETTINGS)
    assert drawn(trainer) == ["flag"] * 8
    with pytest.raises(TrainingError, match="all have sampling weight 0"):
        sampler.probabilities(0, 0, 1, frozenset({"size"}))


def test_probabilities_go_to_the_running_tasks(toy) -> None:
    asked: list[frozenset[str]] = []

    class Sampler:
        def probabilities(self, step, epoch, num_epochs, running):
            asked.append(running)
            return np.array([float(task in running) for task in ("flag", "size")]) / len(running)

        def observe(self, step, scores):
            pass

        def state_dict(self):
            return {}

    tasks = [task_with(toy, "flag", [0.5] * 6, patience=1), toy.task("size")]
    toy.trainer(toy.model(), tasks, sampler=Sampler(), **SETTINGS).fit()
    assert asked[0] == {"flag", "size"}
    assert asked[-1] == {"size"}


def test_state_of_another_run_is_refused() -> None:
    stop = EarlyStop({"one": 2})
    with pytest.raises(CheckpointError, match="unknown state of the early stop"):
        stop.load_state_dict({"waited": {}})
    with pytest.raises(CheckpointError, match="'other'"):
        stop.load_state_dict({"waited": {}, "seen": {}, "stopped": {"other": 3}})


# From a recipe, with checkpoints: killed at any evaluation, it ends as it would have.


@pytest.fixture(scope="module")
def recipe(tmp_path_factory, write_recipe) -> Path:
    return write_recipe(
        tmp_path_factory.mktemp("stopping"),
        tasks=[{"name": "rte", "patience": 1}, {"name": "stsb"}],
        evaluation={"every_steps": 2, "patience": 3},
        optimizer={"learning_rate": 1e-6},  # which changes no answer
        training={"num_epochs": 5},
    )


def files(run: Path, *parts: str) -> dict[str, bytes]:
    """Content of every file below folders of a run."""
    found = [path for part in parts for path in sorted((run / part).rglob("*")) if path.is_file()]
    return {str(path.relative_to(run)): path.read_bytes() for path in found}


def last(run: Path) -> int:
    return json.loads((run / "final" / "rte" / "task.json").read_text())["step"]


def stopped_at(run: Path) -> dict[str, int]:
    newest = max((run / "checkpoints").glob("step-*"))
    return json.loads((newest / "state.json").read_text())["early_stop"]["stopped"]


@pytest.mark.slow
def test_a_resumed_run_stops_where_it_would_have(program, recipe, tmp_path) -> None:
    whole = tmp_path / "whole"
    ended = program("run", recipe, "--output", whole)
    assert ended.status == 0, ended.err
    end = last(whole)
    assert end < 40
    assert stopped_at(whole).keys() == {"rte", "stsb"}
    assert stopped_at(whole)["rte"] < end
    assert f"no task is left to train: the run ends after step {end} of 40" in ended.err
    assert f"stopped early: rte after step {stopped_at(whole)['rte']}, stsb after" in ended.out
    for number, step in enumerate((1, stopped_at(whole)["rte"] + 1, end - 1)):
        run = tmp_path / str(number)
        assert program("run", recipe, "--output", run, term_at_step=step).status == 130
        again = program("run", recipe, "--output", run, "--resume")
        assert again.status == 0, again.err
        parts = ("final", "best", "predictions", f"checkpoints/step-{end:08d}")
        assert files(run, *parts) == files(whole, *parts)
