"""Steps that nobody waits for: the same course, and nothing changes from a bad one on.

Only a GPU runs ahead of the host. A CPU is taken for one here; its fused optimizers take the same
flag.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from bertmod import TrainingError
from bertmod.engine import step as steps
from bertmod.engine.ahead import Fuse, Readings, can_run_ahead
from bertmod.engine.parallel import ALONE, Ranks
from bertmod.engine.run_folder import RunFolder
from bertmod.engine.settings import TrainerSettings
from bertmod.library import build

OPTIMIZERS = ("adamw", "bert_adam")
GPU = torch.device("cuda:0")


class Kept:
    """A tracker that remembers what it was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *given: self.told.append((name, *given))

    def steps(self):
        return [(given[0], given[1]) for name, *given in self.told if name == "stepped"]


class Explosive(torch.nn.Module):
    """A head whose loss is infinite from its so manieth training batch on."""

    def __init__(self, head: torch.nn.Module, first: int) -> None:
        super().__init__()
        self.head, self.left = head, first
        self.want, self.layout, self.info = head.want, head.layout, head.info
        self.num_targets, self.decode = head.num_targets, head.decode

    def forward(self, output, batch):
        found = self.head(output, batch)
        if self.training:
            self.left -= 1
        factor = float("inf") if self.left < 0 else 1.0
        losses = {name: (loss * factor, weight) for name, (loss, weight) in found.losses.items()}
        return type(found)(found.logits, losses)


@pytest.fixture
def _ahead(monkeypatch) -> None:
    def on_any_device(optimizer, settings, *, ranks, device):
        return can_run_ahead(optimizer, settings, ranks=ranks, device=GPU)

    monkeypatch.setattr(steps, "can_run_ahead", on_any_device)


def run(toy, folder, *, trainer=None, **options):
    """A whole run: what it told, its parameters, and what it kept of its newest checkpoint."""
    kept = Kept()
    with RunFolder(folder) as made:
        options = {"save_every": 3, "evaluate_every": 4, "ema": 0.9, **options}
        trainer = toy.trainer(toy.model(dropout=0.1), folder=made, trackers=[kept], **options)
        ahead = trainer._stepper.ahead
        trainer.fit()
    stored = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted((folder / "checkpoints").rglob("*"))
        if path.suffix == ".safetensors"
    }
    assert stored
    return ahead, kept.told, toy.values(trainer.model), stored


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("micro_steps", [1, 2])
def test_the_course_is_the_same_bit_for_bit(
    toy, tmp_path, monkeypatch, request, optimizer, micro_steps
) -> None:
    """Parameters, averages, checkpoints, and what trackers hear, in the same order."""
    options = {"optimizer": optimizer, "gradient_accumulation_steps": micro_steps}
    waiting = run(toy, tmp_path / "waiting", **options)
    request.getfixturevalue("_ahead")
    ahead = run(toy, tmp_path / "ahead", **options)
    assert (waiting[0], ahead[0]) == (0, 1)
    assert [event for event, *_ in waiting[1]].count("stepped") == 12

    def told(events):
        return [(name, *given[:1], given[1:] if name != "saved" else ()) for name, *given in events]

    assert told(ahead[1]) == told(waiting[1])
    assert all(torch.equal(value, ahead[2][name]) for name, value in waiting[2].items())
    assert ahead[3] == waiting[3]


@pytest.mark.usefixtures("_ahead")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_from_a_bad_step_on_nothing_changes(toy, tmp_path, optimizer) -> None:
    """It is told by its own step, task and rows, after the steps before it; none comes after."""
    model = toy.model(("flag",))
    model.heads = type(model.heads)({"flag": Explosive(model.heads["flag"], 4)})
    kept = Kept()
    with RunFolder(tmp_path / "run") as folder:
        trainer = toy.trainer(
            model, folder=folder, trackers=[kept], optimizer=optimizer, evaluate_every=100
        )
        rows = [np.concatenate(trainer.rows("flag", k, step=k).parts).tolist() for k in range(5)]
        seen = []
        start = trainer.start_step

        def noting():
            seen.append(toy.values(model))
            return start()

        trainer.start_step = noting
        with pytest.raises(TrainingError) as error:
            trainer.fit()
    assert str(error.value) == (
        "step 5, task flag: classification loss inf\n"
        f"  rows of its training data in this step (from 0): {rows[4]}\n"
        "  the step was not made; the checkpoints of earlier steps are kept\n"
        "  look at these rows, lower the learning rate, or use precision fp32"
    )
    assert [step for step, _ in kept.steps()] == [1, 2, 3, 4]
    assert len(seen) == 6
    assert toy.changed(seen[3], model)
    assert toy.changed(seen[4], model) == set()


@pytest.mark.usefixtures("_ahead")
def test_who_goes_on_is_told_again(toy) -> None:
    model = toy.model(("flag",))
    model.heads = type(model.heads)({"flag": Explosive(model.heads["flag"], 1)})
    trainer = toy.trainer(model)
    trainer.train_step()
    before = toy.values(model)
    with pytest.raises(TrainingError, match="step 2, task flag: classification loss inf"):
        trainer.train_step()
    model.heads["flag"].left = 100
    with pytest.raises(TrainingError, match="step 3, task flag: an earlier step was not finite"):
        trainer.train_step()
    assert toy.changed(before, model) == set()


@pytest.mark.usefixtures("_ahead")
def test_a_gradient_alone_that_is_not_finite(toy) -> None:
    model = toy.model(("flag",))
    model.encoder.get_parameter("layer.0.ffn.up.weight").register_hook(lambda g: g * float("nan"))
    before = toy.values(model)
    trainer = toy.trainer(model)
    waits = [trainer.start_step()[1] for _ in range(2)]
    for wait in waits:
        with pytest.raises(TrainingError, match="gradient norm nan"):
            wait()
    assert toy.changed(before, model) == set()


@pytest.mark.usefixtures("_ahead")
def test_resuming_is_bit_equal(toy, tmp_path) -> None:
    """A run that ends at a step of its own choice has made, told and saved all before it."""
    whole = run(toy, tmp_path / "whole")
    kept = Kept()
    with RunFolder(tmp_path / "cut") as folder:
        options = {"save_every": 3, "evaluate_every": 4, "ema": 0.9, "folder": folder}
        cut = toy.trainer(toy.model(dropout=0.1), trackers=[kept], **options)
        start = cut.start_step

        def stop():
            if cut.step == 7:
                raise KeyboardInterrupt
            return start()

        cut.start_step = stop
        with pytest.raises(KeyboardInterrupt):
            cut.fit()
        again = toy.trainer(toy.model(dropout=0.1), trackers=[kept], **options)
        again.fit(resume=True)
    assert all(torch.equal(v, again.model.state_dict()[n]) for n, v in whole[2].items())
    told = dict(kept.steps())
    assert told == {given[0]: given[1] for name, *given in whole[1] if name == "stepped"}


def test_who_runs_ahead(toy) -> None:
    settings = TrainerSettings(precision="bf16")
    model = toy.model()
    groups = toy.trainer(model)._masters.groups
    adamw, lamb = (build("optimizer", name, groups) for name in ("adamw", "lamb"))

    def ahead(optimizer=adamw, device=GPU, ranks=ALONE, **changes) -> bool:
        changed = replace(settings, **changes)
        return can_run_ahead(optimizer, changed, ranks=ranks, device=device)

    assert ahead()
    assert ahead(build("optimizer", "bert_adam", groups))
    assert ahead(precision="fp32")
    assert not ahead(lamb)
    assert not ahead(build("optimizer", "adamw", groups, touched_rows=True))
    assert not ahead(build("optimizer", "bert_adam", groups, touched_rows=True))
    assert not ahead(device=torch.device("cpu"))
    assert not ahead(ranks=Ranks(0, 2))
    assert not ahead(precision="fp16")
    assert not ahead(offload="cpu")


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_a_fuse(toy, name, bad) -> None:
    """While all is finite it is the optimizer; then neither parameters nor state change."""
    plain, model = toy.model(), toy.model()
    trainers = [toy.trainer(each, optimizer=name) for each in (plain, model)]
    one, other = (each._optimizer for each in trainers)
    fuse = Fuse(other, torch.device("cpu"))

    def step(numbers) -> None:
        for each in (plain, model):
            for parameter in each.parameters():
                parameter.grad = torch.ones_like(parameter)
        fuse.step(torch.tensor(numbers, dtype=torch.float64))

    for _ in range(2):
        step([1.0, 2.0])
        one.step()
    assert toy.changed(toy.values(plain), model) == set()
    assert float(fuse.blown) == 0
    before = copy.deepcopy(other.state_dict()["state"])
    for numbers in ([1.0, bad], [1.0, 2.0]):
        step(numbers)
        assert float(fuse.blown) == 1
        assert toy.changed(toy.values(plain), model) == set()
        torch.testing.assert_close(other.state_dict()["state"], before, rtol=0, atol=0)
    assert not hasattr(other, "found_inf")


def test_readings_are_exact() -> None:
    third = torch.tensor(1 / 3)
    found = Readings([third, torch.tensor([2.0]), torch.tensor(float("inf"))])
    assert found.read() == [float(third), 2.0, float("inf")]
    assert found.there.dtype == torch.float64


def gpu_trainer(toy, *, compiled: bool = False, **options):
    settings = {"device": "cuda:0", "precision": "bf16", "learning_rate": 1e-3, "num_epochs": 4}
    return toy.trainer(toy.model(dropout=0.1), compile=compiled, **{**settings, **options})


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("compiled", [False, True])
def test_on_a_gpu_no_step_waits(toy, optimizer, compiled) -> None:
    """After the first steps, which fill caches, nothing that waits is called before the end."""
    trainer = gpu_trainer(toy, optimizer=optimizer, compiled=compiled)
    assert trainer._stepper.ahead == 1
    for _ in range(6):
        trainer.train_step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        waits = [trainer.start_step()[1] for _ in range(4)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(np.isfinite(wait().loss) for wait in waits)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_on_a_gpu_ahead_is_as_waiting(toy, monkeypatch, precision) -> None:
    def losses() -> list[float]:
        trainer = gpu_trainer(toy, precision=precision)
        return [trainer.train_step()[1].loss for _ in range(12)]

    ahead = losses()
    monkeypatch.setattr(steps, "can_run_ahead", lambda *_, **__: False)
    np.testing.assert_allclose(losses(), ahead, rtol=1e-2 if precision == "bf16" else 1e-4)


@pytest.mark.gpu
def test_a_short_run_on_a_gpu(toy, tmp_path) -> None:
    """Fast and plain end alike, without dropout."""
    found = []
    for fast in (True, False):
        kept = Kept()
        with RunFolder(tmp_path / str(fast)) as folder:
            options = {"device": "cuda:0", "precision": "bf16", "learning_rate": 1e-3}
            trainer = toy.trainer(toy.model(), folder=folder, trackers=[kept], fast=fast, **options)
            trainer.fit()
        assert [step for step, _ in kept.steps()] == list(range(1, 13))
        found.append([values["loss"] for _, values in kept.steps()])
    np.testing.assert_allclose(*found, rtol=5e-2)
