"""Early stop, time limit, averaged weights and failures where several processes share a run."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch.distributed import TCPStore

from bertmod.engine import stopping
from bertmod.engine.evaluate import ScoredFeatures
from bertmod.engine.parallel import ALONE, LostProcessError

SETTINGS = {"num_epochs": 5, "steps_per_epoch": 4, "evaluate_every": 2, "ema": 0.9}


def made(toy, ranks):
    """A whole run: who stopped, the last step, the scores, then weights and averages."""
    model = toy.model()
    tasks = [toy.task("flag", dev=25, patience=1), toy.task("size", dev=25, patience=2)]
    trainer = toy.trainer(model, tasks, ranks=ranks, learning_rate=1e-6, **SETTINGS)
    trainer.fit()
    values = {f"model/{name}": value for name, value in model.state_dict().items()}
    values |= {f"average/{name}": value for name, value in trainer._average.values.items()}
    arrays = {name: value.numpy() for name, value in values.items()}
    return trainer._early.stopped, trainer.step, trainer.evaluate().scores, arrays


def test_two_processes_stop_and_average_as_one(toy, in_processes) -> None:
    alone = made(toy, ALONE)
    first, second = in_processes(lambda ranks: made(toy, ranks))
    assert alone[0]
    assert first[:2] == second[:2] == alone[:2]
    assert first[2] == second[2] == pytest.approx(alone[2], abs=1e-6)
    for name, value in alone[3].items():
        np.testing.assert_allclose(first[3][name], value, rtol=0, atol=1e-5, err_msg=name)
        assert np.array_equal(first[3][name], second[3][name]), name


def test_the_fastest_clock_ends_the_run_for_all(toy, in_processes) -> None:
    """Six seconds are up in the second process, whose clock jumps, and in no other."""

    class Clock:
        def __init__(self, rank: int) -> None:
            self._ticks = itertools.count(step=rank)

        def monotonic(self) -> float:
            return float(next(self._ticks))

    def child(ranks):
        stopping.time = Clock(ranks.rank)
        trainer = toy.trainer(ranks=ranks, max_minutes=0.1, **SETTINGS)
        trainer.fit()
        return trainer.step

    first, second = in_processes(child)
    assert 1 < first == second < 20


@pytest.mark.parametrize("failing", [0, 1])
def test_no_process_waits_for_one_that_failed(toy, in_processes, failing) -> None:
    """A score raises in the main process, which alone scores; a step in the other one."""

    def child(ranks):
        tasks = [toy.task(task) for task in toy.model().tasks]
        if failing == 0:
            features = tasks[0].dev["dev"].features
            broken = ScoredFeatures(features, lambda decoded: {"score": 1 / 0})
            tasks[0] = replace(tasks[0], dev={"dev": broken})
        trainer = toy.trainer(tasks=tasks, ranks=ranks, **SETTINGS)
        if failing == ranks.rank == 1:
            trainer.start_step = lambda: 1 / 0
        try:
            trainer.fit()
        except (ZeroDivisionError, LostProcessError) as error:
            return type(error)
        return None

    expected = [LostProcessError, LostProcessError]
    expected[failing] = ZeroDivisionError
    assert in_processes(child) == expected


FAILING = """
import sys
from torch import distributed
from bertmod.engine.parallel import joined_ranks
try:
    with joined_ranks(2, gpu=False) as ranks:
        ranks.gathered(ranks.rank)
        sys.exit(7)
finally:
    assert not distributed.is_initialized()
"""


@pytest.mark.slow
def test_an_exit_status_is_kept() -> None:
    """Threads of gloo that outlived the interpreter aborted the process now and then."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", FAILING],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [each.communicate(timeout=120)[1] for each in started]
    assert [each.returncode for each in started] == [7, 7], said


def content(run: Path) -> dict[str, bytes]:
    newest = max((run / "checkpoints").glob("step-*"))
    folders = [run / "final", run / "best", run / "predictions", newest]
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    clocked = {"state.json", "manifest.json"}  # the time so far, and its file's hash
    return {
        str(path.relative_to(run)): path.read_bytes() for path in found if path.name not in clocked
    }


@pytest.mark.slow
def test_all_of_it_from_a_recipe(program, write_recipe, tmp_path) -> None:
    """Stopped and gone on with, two processes end with the same files."""
    recipe = write_recipe(
        tmp_path / "recipe",
        tasks=[{"name": "rte", "patience": 1}, {"name": "stsb"}],
        training={"ema": 0.9, "max_minutes": 30},
        optimizer={"learning_rate": 1e-6},  # which changes no answer
    )
    whole, run = tmp_path / "whole", tmp_path / "run"
    ended = program("run", recipe, "--output", whole, "--quiet", processes=2)
    assert ended.status == 0, ended.err
    assert "stopped early: rte after step" in ended.out
    words = ("run", recipe, "--output", run, "--quiet")
    assert program(*words, processes=2, struck_rank=1, term_at_step=10).status == 130
    again = program(*words, "--resume", processes=2)
    assert (again.status, again.others) == (0, (0,)), again.err
    assert content(run) == content(whole)
    short = program(*words, "--resume", "--set", "training.max_minutes=1e-6", processes=2)
    assert (short.status, short.others) == (0, (0,)), short.err
    assert json.loads((run / "recipe.json").read_text())["training"]["max_minutes"] == 1e-6
