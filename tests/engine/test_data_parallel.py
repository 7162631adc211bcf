"""A step that several devices of one process share is the step of one."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from bertmod import RecipeError
from bertmod.engine.data_parallel import Shares, home_device
from bertmod.engine.parallel import ALONE

SPREAD = {"device": "auto", "parallel": "data_parallel"}
spread = pytest.mark.usefixtures("two_devices")


def course(toy, *, steps=20, dropout=0.0, tasks=("flag", "size"), ranks=ALONE, **options):
    """What some steps gave, and the parameters after them."""
    model = toy.model(tasks, dropout=dropout)
    trainer = toy.trainer(
        model, [toy.task(task, count=42) for task in tasks], ranks=ranks, **options
    )
    results = [trainer.train_step()[1] for _ in range(steps)]
    return results, {name: value.numpy() for name, value in model.state_dict().items()}


def assert_close(one, other) -> None:
    for name in ("loss", "grad_norm"):
        ours, theirs = ([getattr(each, name) for each in part[0]] for part in (one, other))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6, err_msg=name)
    for name in ("features", "tokens", "learning_rates"):
        assert [getattr(a, name) for a in one[0]] == [getattr(b, name) for b in other[0]]
    for name, value in one[1].items():
        np.testing.assert_allclose(other[1][name], value, rtol=0, atol=1e-5, err_msg=name)


@spread
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gradient_accumulation_steps": 2, "idle": "dense"},
        {"gradient_accumulation_steps": 2, "activation_checkpointing": True, "layout": "padded"},
        {"global_batch_size": 7, "idle": "own_clock"},
    ],
    ids=["plain", "accumulated", "checkpointed", "odd"],
)
def test_twenty_steps_are_those_of_one_device(toy, options) -> None:
    """Passes end with ragged batches; the optimizer does not blow rounding up."""
    options = {"optimizer": "bert_adam", "learning_rate": 1e-3, **options}
    assert_close(course(toy, **options), course(toy, **SPREAD, **options))


@spread
def test_gradients_come_home_and_copies_go(toy) -> None:
    """What the first device uses counts once, what the second one uses twice."""
    model = toy.model(("flag",))
    shares = Shares(model, torch.device("cpu"), parallel="data_parallel", ranks=ALONE)
    model.eval()
    with shares.spread("flag") as found:
        assert [share.ranks.rank for share in found] == [0, 1]
        assert [share.model.encoder.training for share in found] == [False, False]
        used = [
            (share.ranks.rank + 1) * value.sum()
            for share in found
            for module in share.model.modules()
            for value in module._parameters.values()
        ]
        torch.stack(used).sum().backward()
    for name, own in model.named_parameters():
        assert own.grad is not None, name
        assert own.grad.unique().tolist() == [3.0], name
    for share in found:
        pairs = zip(model.parameters(), share.model.parameters(), strict=True)
        assert all(own is theirs for own, theirs in pairs)


@spread
def test_a_task_may_be_called_like_a_method(toy) -> None:
    model = toy.model(("flag",))
    model.attach("train", *model.detach("flag"))
    shares = Shares(model, torch.device("cpu"), parallel="data_parallel", ranks=ALONE)
    with shares.spread("train") as found:
        heads = [share.model.head("train") for share in found]
        values = [
            list(dict.values(module._parameters)) for head in heads for module in head.modules()
        ]
    assert heads[0] is not heads[1]
    assert not any(isinstance(value, torch.nn.Parameter) for each in values for value in each)


@spread
def test_dropout_is_that_of_as_many_processes(toy, in_processes) -> None:
    options = {"dropout": 0.3, "steps": 4, "gradient_accumulation_steps": 2}
    ours = course(toy, **SPREAD, **options)
    assert_close(ours, in_processes(lambda ranks: course(toy, ranks=ranks, **options))[0])
    again = course(toy, **SPREAD, **options)
    assert again[0] == ours[0]
    alone = course(toy, **options)
    assert [result.loss for result in alone[0]] != [result.loss for result in ours[0]]


@spread
@pytest.mark.usefixtures("host_copies")
def test_offload_changes_nothing(toy) -> None:
    plain, moved = (course(toy, **SPREAD, steps=5, offload=kind) for kind in (None, "cpu"))
    assert plain[0] == moved[0]
    for name, value in plain[1].items():
        assert np.array_equal(value, moved[1][name]), name


@spread
def test_an_overflow_is_retried(toy, monkeypatch) -> None:
    monkeypatch.setattr("bertmod.engine.loss_scale.START", 2.0**40)
    results, _ = course(toy, **SPREAD, steps=3, precision="fp16")
    assert results[0].retries > 0
    assert all(np.isfinite(result.loss) for result in results)


@spread
def test_frozen_parameters(toy) -> None:
    def made(**options):
        model = toy.model(("flag",))
        model.encoder.requires_grad_(False)
        trainer = toy.trainer(model, **options)
        return [trainer.train_step()[1].loss for _ in range(4)]

    assert made(**SPREAD) == pytest.approx(made(), abs=1e-6)


@spread
@pytest.mark.parametrize("device", ["cpu", "cuda:1"])
def test_one_device_stated(toy, device) -> None:
    with pytest.raises(ValueError, match='takes all GPUs, and the device is "' + device):
        toy.trainer(device=device, parallel="data_parallel")


@pytest.mark.parametrize(("count", "has"), [(0, "none"), (1, "1")])
def test_too_few_gpus(monkeypatch, count, has) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(RecipeError) as caught:
        home_device("auto", "data_parallel")
    assert str(caught.value) == (
        "this machine: 1 problem\n"
        "  training.parallel\n"
        f'      "data_parallel" is for two GPUs or more, and this machine has {has}\n'
        '      use "auto" or "single"'
    )


@pytest.mark.slow
def test_a_run_killed_and_resumed_is_bit_equal(program, write_recipe, tmp_path, run_files) -> None:
    """Through the program, on two devices; then a run of one device goes on with two."""
    recipe = write_recipe(tmp_path, training=SPREAD)
    whole, run, changed = (tmp_path / name for name in ("whole", "run", "changed"))
    words = ("run", recipe, "--quiet", "--output")
    ended = program(*words, whole, unlike=["two devices"])
    assert ended.status == 0, ended.err
    training = json.loads((whole / "recipe.json").read_text())["training"]
    assert (training["device"], training["parallel"]) == ("cuda", "data_parallel")
    assert program(*words, run, term_at_step=10, unlike=["two devices"]).status == 130
    ended = program(*words, run, "--resume", unlike=["two devices"])
    assert ended.status == 0, ended.err
    run_files.assert_same(run, whole)
    answered = program("predict", run, "--task", "rte", "--text", "a", "--text-pair", "b")
    assert answered.status == 0, answered.err
    single = ("--set", 'training.parallel="single"')
    assert program(*words, changed, *single, term_at_step=10).status == 130
    ended = program(*words, changed, "--resume", unlike=["two devices"])
    assert ended.status == 0, ended.err
    assert len(run_files.rows(changed, "step")) == len(run_files.rows(whole, "step"))


@pytest.mark.slow
def test_a_series_of_seeds(program, write_recipe, tmp_path) -> None:
    """It is what one process with several GPUs is for."""
    recipe = write_recipe(tmp_path, training={**SPREAD, "num_epochs": 1, "steps_per_epoch": 4})
    words = ("run", recipe, "--quiet", "--seeds", "1,2", "--output", tmp_path / "series")
    ended = program(*words, unlike=["two devices"])
    assert ended.status == 0, ended.err
    assert (tmp_path / "series" / "seed-2" / "final").is_dir()


@pytest.mark.slow
def test_what_does_not_go_with_it(program, write_recipe, tmp_path) -> None:
    run = tmp_path / "run"
    stated = write_recipe(tmp_path, training={**SPREAD, "device": "cuda:1"})
    ended = program("run", stated, "--output", run)
    assert ended.status == 2
    assert ended.err == (
        f"{stated}: 1 problem\n"
        "  training.device\n"
        '      training.parallel "data_parallel" takes all GPUs, and this is "cuda:1"\n'
        '      accepted here: "auto" or "cuda"\n'
    )
    recipe = write_recipe(tmp_path, training=SPREAD)
    ended = program("run", recipe, "--output", run, processes=2)
    assert (ended.status, ended.others) == (2, (2,))
    assert ended.err == (
        f"{recipe}: 1 problem\n"
        "  training.parallel\n"
        '      "data_parallel" is for one process, and there are 2\n'
        '      accepted here: "auto", "ddp" or "fsdp"\n'
        "      or start one process\n"
    )
    assert not run.exists()


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="there are two GPUs")
def test_a_machine_without_two_gpus(program, write_recipe, tmp_path) -> None:
    recipe = write_recipe(tmp_path, training=SPREAD)
    ended = program("run", recipe, "--output", tmp_path / "run")
    assert ended.status == 2
    assert ended.err.startswith("this machine: 1 problem\n  training.parallel\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() > 0, reason="there is a GPU")
def test_a_plan_is_made_on_any_machine(program, write_recipe, tmp_path) -> None:
    ended = program("plan", write_recipe(tmp_path, training=SPREAD))
    assert ended.status == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[1] == (
        'planned as one device that computes all rows: "data_parallel" is for two GPUs or more, '
        "and this machine has none"
    )
    assert lines[4].endswith(" on cpu")
    shared = program("plan", tmp_path / "tiny.json", unlike=["two devices"])
    assert shared.status == 0, shared.err
    assert "planned as" not in shared.out


@pytest.mark.multigpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two GPUs")
def test_two_gpus(program, write_recipe, tmp_path, run_files) -> None:
    """The losses of one GPU, and a second run's are equal to the last bit."""
    training = {"num_epochs": 1, "dropout_epochs": 0, "device": "cuda"}
    recipe, losses = write_recipe(tmp_path, training=training), []
    for number, parallel in enumerate(("single", "data_parallel", "data_parallel")):
        run = tmp_path / str(number)
        words = ["--output", run, "--set", f'training.parallel="{parallel}"']
        command = [sys.executable, "-m", "bertmod", "run", recipe, *words]
        subprocess.run(command, env=program.environment, check=True, timeout=300)
        losses.append([row["loss"] for row in run_files.rows(run, "step")])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert losses[1] == losses[2]
