"""An optimizer in host memory makes the steps that it would make on the device."""

from __future__ import annotations

import gc
import logging
import weakref
from pathlib import Path

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from bertmod import ParameterGroup, TrainingError
from bertmod.engine import offload
from bertmod.engine.checkpoint import load_newest
from bertmod.engine.offload import HostCopies
from bertmod.engine.run_folder import RunFolder

NOTHING_CHANGED = 'offload "cpu" changes nothing here: the model is in host memory already'
copied = pytest.mark.usefixtures("host_copies")


def trainers(toy, *, dropout: float = 0.1, **settings):
    """The same run twice: without and with offloading."""
    models = [toy.model(("flag", "size", "other"), dropout=dropout) for _ in range(2)]
    tasks = [toy.task(task) for task in ("flag", "size", "other")]
    return [
        toy.trainer(model, tasks, offload=where, **settings)
        for model, where in zip(models, (None, "cpu"), strict=True)
    ]


def assert_same(toy, ours, theirs) -> None:
    """Weights and optimizer state by parameter name, bit for bit."""
    assert toy.changed(toy.values(ours.model), theirs.model) == set()
    found = [each._state.snapshot(each.step) for each in (ours, theirs)]
    assert found[0].state == found[1].state
    states = [each.optimizer for each in found]
    assert states[0].keys() == states[1].keys()
    assert [name for name, v in states[0].items() if not torch.equal(v, states[1][name])] == []


@copied
@pytest.mark.parametrize("idle", ["lazy", "dense", "own_clock"])
@pytest.mark.parametrize("optimizer", ["adamw", "bert_adam"])
def test_the_same_steps(toy, optimizer, idle) -> None:
    """Several tasks, accumulation, clipping, a schedule: the results of every step are equal."""
    settings = {
        "optimizer": optimizer,
        "idle": idle,
        "gradient_accumulation_steps": 2,
        "schedule": "linear",
        "max_grad_norm": 0.1,
        "clip": "per_tensor" if optimizer == "bert_adam" else "global",
    }
    plain, moved = trainers(toy, **settings)
    before = toy.values(moved.model)
    for _ in range(9):
        assert plain.train_step() == moved.train_step()
    assert_same(toy, plain, moved)
    assert len(toy.changed(before, moved.model)) > 20
    assert all(parameter.grad is None for parameter in moved.model.parameters())


@copied
@pytest.mark.parametrize(
    "optimizer",
    ["SGD", "Adagrad", "Adadelta", "Adam", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "ASGD"],
)
def test_any_optimizer(toy, optimizer) -> None:
    def build(groups):
        made = [{"params": [p for _, p in group.parameters]} for group in groups]
        return getattr(torch.optim, optimizer)(made, lr=1e-3)

    plain, moved = trainers(toy, optimizer=build)
    for _ in range(4):
        assert plain.train_step() == moved.train_step()
    assert_same(toy, plain, moved)


@copied
@pytest.mark.parametrize("block", [1, 300, 5000])
def test_blocks_of_any_size(toy, monkeypatch, block) -> None:
    monkeypatch.setattr(offload, "BLOCK", block)
    sent = []
    send = HostCopies._send

    def spy(self):
        sent.append(len(self._queue))
        send(self)

    monkeypatch.setattr(HostCopies, "_send", spy)
    plain, moved = trainers(toy, gradient_accumulation_steps=2)
    for _ in range(4):
        assert plain.train_step() == moved.train_step()
    assert_same(toy, plain, moved)
    assert (max(sent) == 1) == (block == 1)


@copied
def test_gradients_leave_the_device_as_they_come_and_in_the_last_backward_alone(
    toy, monkeypatch
) -> None:
    model = toy.model(("flag",))
    trainer = toy.trainer(model, offload="cpu", gradient_accumulation_steps=2)
    masters, seen = trainer._masters, []
    send = masters._send

    def spy():
        seen.append(sum(own.grad is not None for own in masters._copies))
        send()

    masters._send = spy
    monkeypatch.setattr(offload, "BLOCK", 1)
    trainer.train_step()
    assert len(seen) > 20
    assert seen[0] > seen[-2] > seen[-1], "their memory is free before the backward pass ends"


def test_gradients_of_earlier_micro_batches_alone() -> None:
    """What the last backward pass does not reach arrives all the same."""
    layers = {name: torch.nn.Linear(2, 1, bias=False) for name in ("used", "left", "idle")}
    own = tuple((f"heads.{name}.weight", layer.weight) for name, layer in layers.items())
    masters = HostCopies([ParameterGroup("heads", own, 1.0, 0.0)], torch.device("cpu"))
    for last in (False, True):
        with masters.backward(last=last):
            used = layers["used"](torch.ones(2))
            (used if last else used + layers["left"](torch.ones(2))).backward()
    found = {name: copy.grad for name, copy in masters.groups[0].parameters}
    assert found["heads.used.weight"].tolist() == [[2.0, 2.0]]
    assert found["heads.left.weight"].tolist() == [[1.0, 1.0]]
    assert found["heads.idle.weight"] is None
    assert all(layer.weight.grad is None for layer in layers.values())


@pytest.mark.parametrize("block", [1, 2**23])
def test_what_a_backward_pass_within_reaches_again_is_added(monkeypatch, block) -> None:
    """A layer that two reentrant checkpoints share has two gradients in one backward pass."""
    monkeypatch.setattr(offload, "BLOCK", block)
    shared, idle = torch.nn.Linear(3, 3, bias=False), torch.nn.Linear(3, 3, bias=False)

    def backward() -> None:
        hidden = torch.ones(2, 3, requires_grad=True)
        for _ in range(2):
            hidden = checkpoint(shared, hidden, use_reentrant=True)
        hidden.sum().backward()

    backward()
    assert (expected := shared.weight.grad) is not None
    shared.weight.grad = None
    own = (("heads.a.weight", shared.weight), ("heads.b.weight", idle.weight))
    masters = HostCopies([ParameterGroup("heads", own, 1.0, 0.0)], torch.device("cpu"))
    with masters.backward(last=True):
        backward()
    (_, found), _ = masters.groups[0].parameters
    assert torch.equal(found.grad, expected)
    assert shared.weight.grad is None


def test_a_model_does_not_keep_the_copies_of_a_trainer_that_is_gone(toy) -> None:
    model = toy.model(("flag",))
    own = tuple((f"encoder.{name}", p) for name, p in model.encoder.named_parameters())
    masters = HostCopies([ParameterGroup("encoder", own, 1.0, 0.0)], torch.device("cpu"))
    with pytest.raises(KeyboardInterrupt), masters.backward(last=True):
        raise KeyboardInterrupt
    copies = weakref.ref(masters)
    del masters
    gc.collect()
    assert copies() is None


@copied
def test_frozen_parameters_have_no_copies(toy) -> None:
    model = toy.model()
    model.encoder.requires_grad_(False)
    trainer = toy.trainer(model, offload="cpu")
    frozen = toy.values(model.encoder)
    trainer.train_step()
    names = {name for group in trainer._groups for name, _ in group.parameters}
    assert names == {name for name, p in model.named_parameters() if p.requires_grad}
    assert toy.changed(frozen, model.encoder) == set()


@copied
def test_fp16_with_accumulation_and_retries(toy) -> None:
    """The setting of the original: a stated scale, the optimizer on the CPU."""
    settings = {"precision": "fp16", "loss_scale": 2.0**30, "gradient_accumulation_steps": 2}
    plain, moved = trainers(toy, optimizer="bert_adam", **settings)
    made = [(plain.train_step(), moved.train_step()) for _ in range(6)]
    assert all(ours == theirs for ours, theirs in made)
    assert made[0][0][1].retries > 5
    assert plain._scale.state_dict() == moved._scale.state_dict()
    assert_same(toy, plain, moved)


def test_a_sparse_gradient_is_refused() -> None:
    table = torch.nn.Embedding(5, 3, sparse=True)
    group = ParameterGroup("heads", (("heads.flag.table.weight", table.weight),), 1.0, 0.0)
    masters = HostCopies([group], torch.device("cpu"))
    with pytest.raises(TrainingError) as error, masters.backward(last=True):
        table(torch.tensor([1, 2])).sum().backward()
    assert str(error.value) == (
        "offload cannot copy the sparse gradient of heads.flag.table.weight: build its "
        "embedding with sparse=False"
    )


def test_on_a_cpu_nothing_is_copied_which_is_told(toy, caplog) -> None:
    model = toy.model()
    trainer = toy.trainer(model, offload="cpu")
    assert caplog.messages == [NOTHING_CHANGED]
    assert caplog.records[0].levelno == logging.WARNING
    own = {id(parameter) for parameter in model.parameters()}
    assert {id(p) for group in trainer._groups for _, p in group.parameters} <= own
    trainer.train_step()
    assert trainer._masters.report(trainer._optimizer) is None
    caplog.clear()
    toy.trainer()
    assert caplog.messages == []


@copied
@pytest.mark.parametrize(
    ("began", "goes_on"), [("cpu", "cpu"), ("cpu", None), (None, "cpu")], ids=str
)
@pytest.mark.parametrize("optimizer", ["adamw", "bert_adam"])
def test_a_run_goes_on_bit_by_bit_with_or_without(
    toy, tmp_path: Path, optimizer, began, goes_on
) -> None:
    settings = {"optimizer": optimizer, "idle": "dense", "save_every": 5}

    def run(path, where, *, resume=False, num_epochs):
        with RunFolder(path, resume=resume) as folder:
            (path / "recipe.json").touch()
            options = {"folder": folder, "offload": where, "num_epochs": num_epochs}
            trainer = toy.trainer(toy.model(dropout=0.1), **options, **settings)
            trainer.fit(resume=resume)
        return trainer, load_newest(folder.checkpoints)

    whole, last = run(tmp_path / "whole", None, num_epochs=2)
    run(tmp_path / "run", began, num_epochs=1)
    again, newest = run(tmp_path / "run", goes_on, resume=True, num_epochs=2)
    assert again.step == whole.step == 12
    assert newest.state == last.state
    assert_same(toy, whole, again)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


def test_a_recipe_with_everything_killed_and_gone_on_with(
    program, write_recipe, tmp_path: Path
) -> None:
    """fp16 at a stated scale that overflows, accumulation, offloading: as without and unkilled."""
    training = {
        "precision": "fp16",
        "loss_scale": 2**30,
        "gradient_accumulation_steps": 2,
        "num_epochs": 1,
        "steps_per_epoch": 6,
    }
    recipe = write_recipe(tmp_path, training=training, evaluation={"every_steps": 6})
    words = ["run", recipe, "--quiet"]
    moved = ["--set", 'training.offload="cpu"']
    assert program(*words, "--output", tmp_path / "plain").status == 0
    run = tmp_path / "moved"
    killed = program(*words, *moved, "--output", run, term_at_step=5, signal="SIGKILL")
    assert killed.status == -9
    ended = program(*words, *moved, "--output", run, "--resume")
    assert ended.status == 0, ended.err
    slow, nothing = ended.err.splitlines()
    assert slow.startswith("WARNING: fp16 is meant for GPUs and slow on a CPU")
    assert nothing == f"WARNING: {NOTHING_CHANGED}"
    assert "made again at half of the loss scale: " in ended.out
    assert content(run / "checkpoints/step-00000006") == content(
        tmp_path / "plain/checkpoints/step-00000006"
    )
    texts = ("--text", "the dog barks", "--text-pair", "a dog")
    predicted = program("predict", run, "--task", "rte", *texts, "--device", "cpu")
    assert (predicted.status, predicted.err) == (0, ""), "in fp32, and not slow"


@pytest.mark.gpu
@pytest.mark.parametrize("idle", ["lazy", "dense", "own_clock"])
@pytest.mark.parametrize("optimizer", ["adamw", "bert_adam"])
def test_on_a_gpu_as_on_the_device(toy, optimizer, idle) -> None:
    """Key biases have gradients of rounding errors alone, which Adam makes steps of."""
    options = {"device": "cuda:0", "optimizer": optimizer, "idle": idle, "learning_rate": 1e-5}
    plain, moved = trainers(toy, dropout=0.0, gradient_accumulation_steps=2, **options)
    before = toy.values(moved.model)
    for _ in range(9):
        ours, theirs = plain.train_step()[1], moved.train_step()[1]
        assert ours.loss == pytest.approx(theirs.loss, abs=1e-6)
    assert len(toy.changed(before, moved.model)) > 20
    for name, value in plain.model.state_dict().items():
        if not ("qkv" in name and name.endswith("bias")):
            torch.testing.assert_close(value, moved.model.state_dict()[name], rtol=0, atol=1e-6)
    assert moved._masters.report(moved._optimizer).startswith("offload: ")


@pytest.mark.gpu
def test_a_gpu_is_spared_the_optimizer_state(toy) -> None:
    held = []
    for where in (None, "cpu"):
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        trainer = toy.trainer(toy.model(), device="cuda:0", offload=where)
        trainer.train_step()
        held.append(torch.cuda.memory_allocated() - before)
        told = trainer._masters.report(trainer._optimizer)
        assert (told is None) == (where is None)
        del trainer
    assert held[1] < held[0]
