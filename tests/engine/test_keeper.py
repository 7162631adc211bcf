"""``best/`` and ``final/``: what lies there, and that it answers as the trained model did."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bertmod.assemble.run import Assembled, assemble
from bertmod.engine.evaluate import EvaluationSettings, decode
from bertmod.engine.run_folder import RunFolder
from bertmod.inference.trained import load_run
from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture
def make(tmp_path, registry, write_recipe):
    """Assembles the tiny recipe with some keys replaced, and its run folder."""

    def make(name: str = "run", **changes) -> tuple[Assembled, RunFolder]:
        path = write_recipe(tmp_path, **changes)
        assembled = assemble(resolve(load_recipe(str(path)), registry), registry)
        folder = RunFolder(tmp_path / name)
        return assembled, folder

    return make


def nudge(assembled: Assembled, *parts: str) -> None:
    """Change every parameter of some parts a little."""
    with torch.no_grad():
        for name, parameter in assembled.model.named_parameters():
            if name.startswith(parts):
                parameter.add_(0.01)


def keeper_of(assembled: Assembled, folder: RunFolder):
    keeper = assembled.trainer(folder, quiet=True)._keeper
    assert keeper is not None
    return keeper


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def record(folder: Path) -> dict:
    return json.loads((folder / "task.json").read_text())


def test_each_tasks_best_names_the_encoder_it_belongs_to(make) -> None:
    assembled, run = make()
    with run:
        keeper = keeper_of(assembled, run)
        assert keeper.evaluated(4, {"rte": 0.5, "stsb": 0.1}) == ("rte", "stsb")
        first = names(run.best / "encoders")
        assert len(first) == 1
        nudge(assembled, "encoder", "adapters", "heads")
        assert keeper.evaluated(8, {"rte": 0.4, "stsb": 0.3}) == ("stsb",)
        assert keeper.best("rte") == (0.5, 4)
        assert keeper.best("stsb") == (0.3, 8)
        rte, stsb = (record(run.best / "tasks" / task) for task in ("rte", "stsb"))
        assert [rte["encoder_hash"]] == first
        assert (rte["step"], rte["score"], rte["metric"]) == (4, 0.5, "dev/accuracy")
        assert (stsb["step"], stsb["score"]) == (8, 0.3)
        assert names(run.best / "encoders") == sorted({rte["encoder_hash"], stsb["encoder_hash"]})

        nudge(assembled, "encoder")
        assert keeper.evaluated(12, {"rte": 0.6, "stsb": 0.2}) == ("rte",)
        assert first[0] not in names(run.best / "encoders")  # nobody names it any more
        assert len(names(run.best / "encoders")) == 2
        assert names(run.best / "tasks") == ["rte", "stsb"]


def test_the_mean_decides_on_best_mean(make) -> None:
    assembled, run = make()
    with run:
        keeper = keeper_of(assembled, run)
        for step, (rte, stsb) in enumerate([(0.5, 0.1), (0.7, -0.2), (0.4, 0.3)], 1):
            keeper.evaluated(step, {"rte": rte, "stsb": stsb})
            nudge(assembled, "encoder")
        assert names(run.best / "mean") == ["README.md", "encoder", "rte", "stsb"]
        assert {record(run.best / "mean" / task)["step"] for task in ("rte", "stsb")} == {3}


def test_equal_encoders_are_one_file(make) -> None:
    assembled, run = make()
    with run:
        keeper = keeper_of(assembled, run)
        keeper.evaluated(4, {"rte": 0.5, "stsb": 0.1})
        keeper.finished(4, {"rte": 0.5, "stsb": 0.1})
        (encoder,) = (run.best / "encoders").iterdir()
        for name in names(encoder):
            inode = (encoder / name).stat().st_ino
            assert (run.best / "mean" / "encoder" / name).stat().st_ino == inode
            assert (run.final / "encoder" / name).stat().st_ino == inode


def test_a_frozen_encoder_is_kept_once(make) -> None:
    assembled, run = make(freeze="encoder")
    with run:
        keeper = keeper_of(assembled, run)
        for step in range(1, 4):
            nudge(assembled, "adapters", "heads")
            keeper.evaluated(step, {"rte": step / 10, "stsb": -step / 10})
        keeper.finished(4, {})
        assert len(names(run.best / "encoders")) == 1
        file = run.final / "encoder" / "model.safetensors"
        assert file.stat().st_nlink == 3  # best/encoders, best/mean, final


def test_select_sum_keeps_the_best_sum_alone(make) -> None:
    assembled, run = make(evaluation={"select": "sum"})
    with run:
        keeper = keeper_of(assembled, run)
        for step, scores in enumerate([(0.5, 0.1), (0.9, -0.4), (0.4, 0.3)], 1):
            keeper.evaluated(step, dict(zip(("rte", "stsb"), scores, strict=True)))
        assert names(run.best) == ["mean"]
        assert record(run.best / "mean" / "rte")["step"] == 3


def test_scores_that_are_no_number_are_never_the_best(make) -> None:
    assembled, run = make()
    nan = float("nan")
    with run:
        keeper = keeper_of(assembled, run)
        keeper.evaluated(1, {"rte": nan, "stsb": 0.1})
        assert record(run.best / "tasks" / "rte")["score"] is None
        assert keeper.evaluated(2, {"rte": 0.2, "stsb": 0.05}) == ("rte",)
        assert keeper.evaluated(3, {"rte": nan, "stsb": nan}) == ()
        assert record(run.best / "mean" / "rte")["step"] == 2


def test_a_resumed_run_does_not_spoil_what_lies_ahead_of_it(make) -> None:
    """Killed after its third evaluation, resumed with the state of the first."""
    assembled, run = make()
    with run:
        keeper = keeper_of(assembled, run)
        keeper.evaluated(1, {"rte": 0.1, "stsb": 0.1})
        state = json.loads(json.dumps(keeper.state_dict()))
        start = {name: p.detach().clone() for name, p in assembled.model.named_parameters()}
        scores = {2: {"rte": 0.0, "stsb": 0.2}, 3: {"rte": 0.3, "stsb": 0.0}}
        for step in (2, 3):
            nudge(assembled, "encoder")
            keeper.evaluated(step, scores[step])
        ahead = record(run.best / "tasks" / "rte")["encoder_hash"]
        whole = {path: path.read_bytes() for path in run.best.rglob("*") if path.is_file()}

        with torch.no_grad():
            for name, parameter in assembled.model.named_parameters():
                parameter.copy_(start[name])
        resumed = keeper_of(assembled, run)
        resumed.load_state_dict(state)
        nudge(assembled, "encoder")
        resumed.evaluated(2, scores[2])
        assert ahead in names(run.best / "encoders")
        assert record(run.best / "tasks" / "rte")["encoder_hash"] == ahead
        nudge(assembled, "encoder")
        resumed.evaluated(3, scores[3])
        assert whole == {path: path.read_bytes() for path in run.best.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_what_is_kept_gives_the_same_predictions(make, tmp_path) -> None:
    """Probabilities of the model in memory at each best, and of what was read back."""
    assembled, run = make(
        training={"num_epochs": 3, "steps_per_epoch": 6}, evaluation={"every_steps": 6}
    )
    (tmp_path / "run").mkdir()
    settings = EvaluationSettings(64, "fp32", "packed")

    def decoded(model, task: str) -> list:
        (split,) = (each for each in assembled.tasks if each.id == task)
        return decode(model, task, split.dev["dev"].features, settings=settings)

    seen: dict[int, dict[str, list]] = {}
    with run:
        trainer = assembled.trainer(run, quiet=True)
        (run.path / "recipe.json").write_text(json.dumps(assembled.recipe.to_json()))
        keeper = trainer._keeper
        original = keeper.evaluated

        def evaluated(step, scores):
            seen[step] = {task: decoded(assembled.model, task) for task in ("rte", "stsb")}
            return original(step, scores)

        keeper.evaluated = evaluated
        trainer.fit()
    steps = {
        "mean": {task: record(run.best / "mean" / task)["step"] for task in ("rte", "stsb")},
        "best": {task: record(run.best / "tasks" / task)["step"] for task in ("rte", "stsb")},
        "final": {"rte": 18, "stsb": 18},
    }
    for source, by_task in steps.items():
        trained = load_run(run.path, source=source)
        for task, step in by_task.items():
            loaded = trained._load(task)
            for ours, theirs in zip(seen[step][task], decoded(loaded.model, task), strict=True):
                for name, array in ours.items():
                    np.testing.assert_array_equal(array, theirs[name])


def test_a_task_that_a_kill_left_moved_aside_is_still_found(make) -> None:
    assembled, run = make()
    with run:
        keeper_of(assembled, run).evaluated(4, {"rte": 0.5, "stsb": 0.1})
        (run.path / "recipe.json").write_text(json.dumps(assembled.recipe.to_json()))
    tasks = run.best / "tasks"
    (tasks / "rte").rename(tasks / ".old-rte")
    assert load_run(run.path, source="best").tasks == ("rte", "stsb")
