"""Compiled layers make the steps of others but for rounding, and are compiled a few times only."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from bertmod import RecipeError, TrainingError
from bertmod.engine.compilation import compiled, require_compiler
from bertmod.library import build_adapter

pytestmark = pytest.mark.slow

TASKS = ("flag", "size", "other")
LAYERS = 2


@pytest.fixture(scope="module", autouse=True)
def _compiler() -> None:
    try:
        require_compiler(torch.device("cpu"))
    except RecipeError as error:
        pytest.skip(str(error))


def graphs() -> int:
    """Graphs compiled so far."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def course(toy, *, steps: int = 12, model=None, **options):
    """What some steps gave, the parameters after them, and the graphs compiled up to each step."""
    model = toy.model(TASKS, dropout=0.2) if model is None else model
    # compiled layers have torch's own dropout
    options = {"optimizer": "bert_adam", "learning_rate": 1e-3, "fast": False, **options}
    trainer = toy.trainer(model, [toy.task(task, count=43) for task in TASKS], **options)
    results, first, seen = [], graphs(), []
    for _ in range(steps):
        results.append(trainer.train_step()[1])
        seen.append(graphs() - first)
    return results, toy.values(trainer.model), seen


def assert_close(one, other) -> None:
    for name in ("loss", "grad_norm"):
        ours, theirs = ([getattr(each, name) for each in part[0]] for part in (one, other))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5, err_msg=name)
    for name, value in one[1].items():
        torch.testing.assert_close(other[1][name], value, rtol=0, atol=1e-5, msg=name)


def assert_equal(one, other) -> None:
    assert one[0] == other[0]
    assert [name for name, v in one[1].items() if not torch.equal(v, other[1][name])] == []


def test_few_compilations_and_the_same_steps(toy) -> None:
    """Three tasks, dropout, ragged batches down to one row: code is made in the first pass.

    A layer has a form for several rows and one for a single row, and a first one for the rows that
    come first, if they happen to be as long as the hidden size.
    """
    options = {"steps": 30, "global_batch_size": 9}
    options["gradient_accumulation_steps"] = 3
    torch._dynamo.reset()
    one = course(toy, **options, compile=True)
    assert one[2][-1] <= 3 * LAYERS
    assert one[2][14] == one[2][-1]
    assert_close(course(toy, **options), one)
    again = course(toy, **options, compile=True, activation_checkpointing=True)
    assert_equal(one, again)
    assert again[2][-1] == 0


@pytest.mark.usefixtures("flash_on_cpu")
def test_the_attention_of_a_gpu_is_compiled_with_the_layer(toy) -> None:
    """Layers stay whole around it, and no batch needs code of its own."""
    losses = []
    for compile_ in (True, False):
        torch._dynamo.reset()
        options = {"precision": "bf16", "learning_rate": 1e-3, "optimizer": "bert_adam"}
        trainer = toy.trainer(toy.model(), compile=compile_, **options)
        trainer._stepper._fast = True  # as on a GPU
        first, breaks = graphs(), sum(torch._dynamo.utils.counters["graph_break"].values())
        losses.append([trainer.train_step()[1].loss for _ in range(8)])
        assert sum(torch._dynamo.utils.counters["graph_break"].values()) == breaks
        assert 0 < graphs() - first <= 2 * LAYERS or not compile_
    np.testing.assert_allclose(*losses, rtol=1e-3)


class Peeking(torch.nn.Module):
    """A stranger's adapter that looks at a number, which no graph can hold."""

    sites = {"layer_output": (0, 1)}  # noqa: RUF012
    replaces: frozenset[tuple[str, int]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(16))

    def forward(self, site, layer, x_TI, y_TO, context):
        return y_TO * self.scale if y_TO.sum().item() < 1e9 else y_TO


def test_an_adapter_that_no_graph_can_hold(toy) -> None:
    """Torch compiles what is around it."""

    def model():
        made = toy.model(TASKS)
        for task in TASKS:
            _, head = made.detach(task)
            made.attach(task, {"peeking": Peeking()}, head)
        return made

    assert_close(
        course(toy, steps=3, model=model()), course(toy, steps=3, model=model(), compile=True)
    )


def test_two_lists_of_adapters(toy) -> None:
    """Each has code of its own, shared by the tasks that have it."""

    def model():
        made = toy.model(TASKS)
        _, head = made.detach("other")
        made.attach("other", {"lhuc": build_adapter(made.encoder, "other", "lhuc")}, head)
        return made

    torch._dynamo.reset()
    one = course(toy, model=model(), compile=True)
    assert one[2][-1] <= 2 * 2 * LAYERS
    assert_close(course(toy, model=model()), one)


@pytest.mark.usefixtures("two_devices")
def test_copies_on_other_devices(toy) -> None:
    """They share the code of the first one's layers where the devices are of a kind."""
    options = {"device": "auto", "parallel": "data_parallel", "steps": 4}
    torch._dynamo.reset()
    one = course(toy, **options, compile=True)
    assert one[2][-1] <= 3 * LAYERS
    assert_close(course(toy, **options), one)


def test_evaluation_is_not_compiled(toy) -> None:
    torch._dynamo.reset()
    trainer = toy.trainer(toy.model(), compile=True)
    before = graphs()
    trainer.evaluate()
    assert graphs() == before


def test_what_cannot_be_compiled_is_told(toy) -> None:
    """Torch may be told to treat a second form as an error; it stands for any of its errors."""

    def grow(x_TH, number):
        return x_TH + number

    call = compiled(grow, num_layers=1)
    call(torch.ones(3, 4), 0.5)
    with torch._dynamo.config.patch(error_on_recompile=True), pytest.raises(TrainingError) as error:
        call(torch.ones(3, 4).double(), 0.5)
    first, last = str(error.value).splitlines()
    assert first.startswith("a layer of the encoder could not be compiled: ")
    assert last == "  use training.compile: false"


def test_a_machine_without_a_compiler(write_recipe, tmp_path) -> None:
    recipe = write_recipe(tmp_path, training={"compile": True})
    environment = os.environ | {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    words = ("run", recipe, "--output", tmp_path / "run", "--quiet")
    ended = subprocess.run(
        [sys.executable, "-m", "bertmod", *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    where, key, what, *more = ended.stderr.splitlines()
    assert (where, key) == ("this machine: 1 problem", "  training.compile")
    assert what.startswith("      torch.compile does not work for cpu on this machine: InvalidCxx")
    assert more == ["      it needs a C++ compiler such as g++", "      install that, or use false"]
    assert not (tmp_path / "run").exists()


def test_layers_in_parts_are_not_compiled(program, write_recipe, tmp_path) -> None:
    recipe = write_recipe(tmp_path, training={"compile": True, "parallel": "fsdp"})
    ended = program("run", recipe, "--output", tmp_path / "run", "--quiet", processes=2)
    assert (ended.status, ended.err) == (
        2,
        f"{recipe}: 1 problem\n"
        "  training.compile\n"
        '      torch.compile does not follow the layers of "fsdp": each would fall into pieces\n'
        '      use false, or training.parallel "ddp"\n',
    )
    assert not (tmp_path / "run").exists()


def test_a_run_in_two_processes_killed_and_gone_on_with_uncompiled(
    program, write_recipe, tmp_path, run_files
) -> None:
    """Compiled and checkpointed at first: but for rounding the rows of a run that is neither."""
    recipe = write_recipe(
        tmp_path, training={"num_epochs": 1, "fast": False}, evaluation={"every_steps": 8}
    )
    plain, run = tmp_path / "plain", tmp_path / "run"
    ended = program("run", recipe, "--output", plain, "--quiet", processes=2)
    assert ended.status == 0, ended.err
    on = ("--set", "training.compile=true", "--set", "training.activation_checkpointing=true")
    words = ("run", recipe, "--output", run, "--quiet")
    killed = program(*words, *on, processes=2, term_at_step=5, signal="SIGKILL")
    assert killed.status == -9
    ended = program(*words, "--resume", processes=2)
    assert ended.status == 0, ended.err
    ours, theirs = (run_files.rows(each, "step") for each in (run, plain))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    losses = [[row["loss"] for row in rows] for rows in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
