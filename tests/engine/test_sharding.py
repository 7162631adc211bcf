"""Models in parts: what each process holds, models of any shape, and what is written of them."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.distributed.tensor import DTensor

from bertmod import TaskInfo
from bertmod.engine.parallel import ALONE, LostProcessError
from bertmod.engine.sharding import gathered, own_parts
from bertmod.library import build
from bertmod.machine.limits import usable_cores

FSDP = {"parallel": "fsdp"}
SETTINGS = {"optimizer": "bert_adam", "learning_rate": 1e-3, "steps_per_epoch": 20}


def course(toy, ranks, model, *, steps=6, **options):
    """Losses and norms of some steps, then the parameters by name."""
    tasks = [toy.task(task, dev=25) for task in model.tasks]
    trainer = toy.trainer(model, tasks, ranks=ranks, **{**SETTINGS, **options})
    results = [trainer.train_step()[1] for _ in range(steps)]
    numbers = [(result.loss, result.grad_norm) for result in results]
    return numbers, {name: value.numpy() for name, value in toy.values(trainer.model).items()}


def assert_same(ours, theirs, *, weights: float = 1e-5) -> None:
    np.testing.assert_allclose(ours[0], theirs[0], rtol=0, atol=1e-6)
    assert ours[1].keys() == theirs[1].keys()
    for name, value in theirs[1].items():
        np.testing.assert_allclose(ours[1][name], value, rtol=0, atol=weights, err_msg=name)


def test_a_process_holds_its_part_of_everything(toy, in_processes) -> None:
    """Parameters, both moments and averages; the main one the whole model too."""

    def child(ranks):
        given = toy.model()
        trainer = toy.trainer(given, ranks=ranks, ema=0.9, **SETTINGS, **FSDP)
        trainer.train_step()
        kinds = {
            "parameters": list(trainer.model.parameters()),
            "moments": [
                each for state in trainer._optimizer.state.values() for each in state.values()
            ],
            "averages": list(trainer._average.values.values()),
        }
        assert all(isinstance(each, DTensor) for kind in kinds.values() for each in kind)
        assert (given is trainer.model) != ranks.is_main
        return {
            name: (
                sum(part.numel() for part in own_parts(kind)),
                sum(each.numel() for each in kind),
            )
            for name, kind in kinds.items()
        }

    first, second = in_processes(child)
    for name, (held, entries) in first.items():
        assert held + second[name][0] == entries
        assert held / entries == pytest.approx(0.5, abs=0.01), name


class Pair(nn.Module):
    """A block made of two."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x_TH, context, sites):
        return self.second(self.first(x_TH, context, sites), context, sites)


def pair_up(model) -> None:
    encoder = model.encoder

    class InPairs(type(encoder)):
        @property
        def blocks(self):
            return (self.layer[0], self.layer[0].first, self.layer[0].second)

    encoder.layer = nn.ModuleList([Pair(*encoder.layer)])
    encoder.__class__ = InPairs


def call_each_other(model) -> None:
    """The second block calls the first, which the encoder does not."""
    encoder = model.encoder
    first, second = encoder.layer

    class Calling(type(second)):
        def forward(self, x_TH, context, sites):
            return super().forward(self.others[0](x_TH, context, sites), context, sites)

    class Last(type(encoder)):
        @property
        def blocks(self):
            return (self.first, self.layer[0])

    second.__class__, second.others = Calling, [first]
    encoder.first, encoder.layer, encoder.__class__ = first, nn.ModuleList([second]), Last


def share_between_blocks(model) -> None:
    first, second = model.encoder.layer
    second.ffn.up.weight = first.ffn.up.weight


def share_with_the_root(model) -> None:
    model.encoder.layer[0].attention.dense.weight = model.encoder.pooler.dense.weight


def repeat_a_block(model) -> None:
    model.encoder.layer[1] = model.encoder.layer[0]


def freeze_the_encoder(model) -> None:
    model.encoder.requires_grad_(False)


def transpose(model) -> None:
    weight = model.encoder.pooler.dense.weight
    weight.data = weight.data.T.contiguous().T


SHARED = (share_between_blocks, share_with_the_root, repeat_a_block, pair_up)
SHAPES = (*SHARED, freeze_the_encoder, transpose)


def shaped(toy, shape: Callable[[nn.Module], None]):
    model = toy.model()
    shape(model)
    return model


def test_encoders_of_any_shape(toy, in_processes) -> None:
    """Shared parameters and blocks stay one, whichever group they fall into."""
    kinds = in_processes(
        lambda ranks: [course(toy, ranks, shaped(toy, shape), **FSDP) for shape in SHAPES]
    )
    for shape, first, second in zip(SHAPES, *kinds, strict=True):
        assert_same(first, course(toy, ALONE, shaped(toy, shape)))
        assert first[0] == second[0], shape.__name__


def test_blocks_that_call_each_other(toy, in_processes) -> None:
    first, _ = in_processes(lambda ranks: course(toy, ranks, shaped(toy, call_each_other), **FSDP))
    assert_same(first, course(toy, ALONE, shaped(toy, call_each_other)))


def give_views(model) -> None:
    head = model.head("flag")

    class Viewing(type(head)):
        def forward(self, output, batch):
            given = super().forward(output, batch)
            return replace(given, logits={"logits": given.logits["logits"][:]})

    head.__class__ = Viewing


def test_torch_warns_of_nothing(toy, in_processes) -> None:
    """Not of logits that are views either: what a terminal shows is the run's own."""

    def child(ranks):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return course(toy, ranks, shaped(toy, give_views), steps=2, **FSDP)[0]

    assert len(in_processes(child)[0]) == 2


def test_evaluations_leave_no_trace(toy, in_processes) -> None:
    """One before the first step and one after every second, of averages, which it is not of."""

    def child(ranks, *, evaluated):
        model = toy.model()
        trainer = toy.trainer(model, ranks=ranks, ema=0.5, **SETTINGS, **FSDP)
        scores, losses = [], []
        for step in range(6):
            if evaluated and step % 2 == 0:
                scores.append(trainer.evaluate().scores)
            losses.append(trainer.train_step()[1].loss)
        return losses, {n: v.numpy() for n, v in toy.values(trainer.model).items()}, scores

    kinds = [
        in_processes(lambda ranks, each=each: child(ranks, evaluated=each))[0]
        for each in (True, False)
    ]
    assert kinds[0][0] == kinds[1][0]
    for name, value in kinds[0][1].items():
        assert np.array_equal(value, kinds[1][1][name]), name
    assert len(kinds[0][2]) == 3
    assert kinds[0][2][0] != kinds[0][2][2]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_that_of_ddp(toy, in_processes, precision) -> None:
    kinds = [
        in_processes(
            lambda ranks, mode=mode: course(
                toy, ranks, toy.model(), precision=precision, parallel=mode
            )
        )
        for mode in ("ddp", "fsdp")
    ]
    assert_same(kinds[1][0], kinds[0][0])
    assert kinds[1][0][0] == kinds[1][1][0]


@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_infinities_in_one_process_are_retried_by_all(toy, in_processes, mode) -> None:
    """A gradient, and no loss, of the second process overflows in its third backward pass."""

    def child(ranks):
        model = toy.model()
        passes = iter(range(100))

        def overflow(gradient):
            return gradient * (float("inf") if next(passes) == 2 and ranks.rank == 1 else 1.0)

        def watch(module, given, output):
            output.register_hook(overflow)

        model.encoder.layer[1].ffn.down.register_forward_hook(watch)
        trainer = toy.trainer(model, ranks=ranks, precision="fp16", parallel=mode, **SETTINGS)
        results = [trainer.train_step()[1] for _ in range(5)]
        return [(each.retries, each.loss_scale, each.loss, each.grad_norm) for each in results]

    first, second = in_processes(child)
    assert first == second
    assert [retries for retries, *_ in first] == [0, 0, 1, 0, 0]
    assert [scale for _, scale, *_ in first] == [65536, 65536, 32768, 32768, 32768]


class ByNorms(torch.optim.Optimizer):
    """A stranger's: each tensor's step is as long as its own norm says, over the gradient's."""

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            for each in group["params"]:
                if each.grad is not None and each.grad.norm() > 0:
                    each.sub_(each.grad * (0.1 * each.norm() / each.grad.norm()))


def test_a_strangers_optimizer_sees_whole_norms(toy, in_processes) -> None:
    def built(groups):
        return ByNorms([{"params": [p for _, p in group.parameters]} for group in groups], {})

    options = {"optimizer": built}
    first, _ = in_processes(lambda ranks: course(toy, ranks, toy.model(), **options, **FSDP))
    assert_same(first, course(toy, ALONE, toy.model(), **options))


@pytest.mark.parametrize("vectors", [False, True])
def test_lamb_scales_by_whole_norms(toy, in_processes, vectors) -> None:
    def built(groups):
        return build("optimizer", "lamb", groups, scale_vectors=vectors)

    options = {"optimizer": built, "steps": 8}
    first, _ = in_processes(lambda ranks: course(toy, ranks, toy.model(), **options, **FSDP))
    assert_same(first, course(toy, ALONE, toy.model(), **options))


def test_the_whole_model_is_gathered(toy, in_processes) -> None:
    """Averages, and calibrations; then training goes on from what it was."""

    def child(ranks):
        given, first = toy.model(), toy.model()
        trainer = toy.trainer(given, ranks=ranks, ema=0.5, **SETTINGS, **FSDP)
        for _ in range(3):
            trainer.train_step()
        info = TaskInfo(("no", "yes"), calibration={"threshold": 0.25})
        trainer.model.head("flag").info = info
        own = toy.values(trainer.model)
        averages = {name: each.full_tensor() for name, each in trainer._average.values.items()}
        with gathered(trainer._placed, trainer._average):
            kept = toy.values(given) if ranks.is_main else averages
        after = toy.values(trainer.model)
        assert all(torch.equal(own[name], after[name]) for name in own)
        assert all(torch.equal(kept[name], each) for name, each in averages.items())
        assert given.head("flag").info == info
        return len(toy.changed(kept, first))

    changed = in_processes(child)
    assert changed[0] == changed[1] > 20


def test_who_is_left_says_that_another_process_ended(toy, in_processes) -> None:
    """Torch's own messages fail, in the middle of a step."""

    def child(ranks):
        trainer = toy.trainer(ranks=ranks, **SETTINGS, **FSDP)
        if ranks.rank == 1:
            trainer.start_step = lambda: 1 / 0
        try:
            trainer.fit()
        except (ZeroDivisionError, LostProcessError) as error:
            return type(error).__name__
        return ""

    assert in_processes(child) == ["LostProcessError", "ZeroDivisionError"]


@pytest.mark.slow
def test_what_a_run_leaves_is_whole(program, write_recipe, run_files, tmp_path) -> None:
    """``final/`` is as ddp's up to rounding, and prediction reads it and ``best/``."""
    recipe = write_recipe(
        tmp_path / "recipe",
        training={"ema": 0.9, "num_epochs": 1, "dropout_epochs": 0},
        optimizer={"name": "bert_adam", "learning_rate": 1e-4},
        evaluation={"batch_size": 7},
    )
    runs = {mode: tmp_path / mode for mode in ("ddp", "fsdp")}
    for mode, run in runs.items():
        words = ("--set", f'training.parallel="{mode}"')
        ended = program("run", recipe, "--output", run, "--quiet", *words, processes=2)
        assert (ended.status, ended.others) == (0, (0,)), ended.err
    ours, theirs = (run_files.content(runs[mode] / "final") for mode in ("fsdp", "ddp"))
    assert ours.keys() == theirs.keys()
    for name in (each for each in theirs if each.endswith(".safetensors")):
        expected = load_file(runs["ddp"] / "final" / name)
        for key, value in load_file(runs["fsdp"] / "final" / name).items():
            torch.testing.assert_close(value, expected[key], rtol=0, atol=1e-5)
    losses = [[row["loss"] for row in run_files.rows(run, "step")] for run in runs.values()]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    settled = json.loads((runs["fsdp"] / "recipe.json").read_text())["training"]["parallel"]
    assert settled == "fsdp"
    for state in ("final", "mean", "best"):
        words = ("--from", state, "--task", "rte", "--text", "a", "--text-pair", "b")
        told = program("predict", runs["fsdp"], *words)
        assert told.status == 0, told.err


@pytest.mark.slow
@pytest.mark.skipif(usable_cores() < 2, reason="there is one core")
def test_nproc_as_a_user_starts_it(program, write_recipe, tmp_path) -> None:
    recipe, run = write_recipe(tmp_path, training={"num_epochs": 1}), tmp_path / "run"
    words = ["--output", run, "--nproc", "2", "--set", 'training.parallel="fsdp"', "--quiet"]
    ended = subprocess.run(
        [sys.executable, "-m", "bertmod", "run", recipe, *words],
        env=program.environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (run / "final" / "encoder").is_dir()


@pytest.mark.multigpu
@pytest.mark.parametrize("offload", ["null", '"cpu"'])
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two GPUs")
def test_two_gpus(program, write_recipe, tmp_path, run_files, offload) -> None:
    training = {"num_epochs": 1, "dropout_epochs": 0, "device": "cuda"}
    recipe, runs = write_recipe(tmp_path, training=training), [tmp_path / "one", tmp_path / "two"]
    more = (
        "--nproc",
        "2",
        "--set",
        'training.parallel="fsdp"',
        "--set",
        f"training.offload={offload}",
    )
    for words, run in zip(((), more), runs, strict=True):
        words = [sys.executable, "-m", "bertmod", "run", recipe, "--output", run, *words]
        subprocess.run(words, env=program.environment, check=True, timeout=300)
    losses = [[row["loss"] for row in run_files.rows(run, "step")] for run in runs]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
