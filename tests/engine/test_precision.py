"""fp16: what it computes in, and what happens to a step that overflows."""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from bertmod import CheckpointError, RecipeError, TrainingError
from bertmod.engine import loss_scale
from bertmod.engine.checkpoint import load_newest
from bertmod.engine.loss_scale import LossScale, build_loss_scale
from bertmod.engine.precision import answering_precision, resolve_precision
from bertmod.engine.run_folder import RunFolder
from bertmod.engine.summary import TaskResult, render_results

CPU = torch.device("cpu")


def fp16(toy, model=None, **settings):
    """A trainer in fp16 whose gradients do not overflow at a scale of 1024."""
    return toy.trainer(model, precision="fp16", **{"loss_scale": 1024.0, **settings})


def steps(trainer, count: int) -> list:
    return [trainer.train_step() for _ in range(count)]


def test_forwards_are_in_fp16_and_parameters_in_fp32(toy) -> None:
    seen: Counter[torch.dtype] = Counter()
    model = toy.model()
    for module in model.encoder.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _, __, out: seen.update([out.dtype]))
    trainer = fp16(toy, model, learning_rate=1e-3)
    losses = [result.loss for _, result in steps(trainer, 6)]
    exact = [result.loss for _, result in steps(toy.trainer(learning_rate=1e-3), 6)]
    assert set(seen) == {torch.float16}
    assert losses != exact
    np.testing.assert_allclose(losses, exact, atol=5e-3)
    states = [value for state in trainer._optimizer.state.values() for value in state.values()]
    assert {value.dtype for value in [*model.parameters(), *states]} == {torch.float32}
    assert set(trainer.evaluate().scores) == {"flag/dev/score", "size/dev/score"}


@pytest.mark.parametrize("clip", ["global", "per_tensor"])
def test_a_power_of_two_changes_no_digit_of_what_fits(toy, clip) -> None:
    """In fp32, where nothing overflows: gradients are unscaled before they are clipped."""
    models, results = [], []
    for scale in (1.0, 2.0**16, 2.0**-14):
        model = toy.model(dropout=0.1)
        trainer = toy.trainer(model, gradient_accumulation_steps=2, clip=clip, max_grad_norm=0.05)
        trainer._scale.value = scale
        results.append(steps(trainer, 6))
        models.append(toy.values(model))
    assert results[0] == results[1] == results[2]
    for other in models[1:]:
        assert all(torch.equal(value, other[name]) for name, value in models[0].items())


def test_in_fp16_another_scale_is_another_rounding(toy) -> None:
    losses = [
        [result.loss for _, result in steps(fp16(toy, loss_scale=scale), 8)]
        for scale in (256.0, 4096.0)
    ]
    np.testing.assert_allclose(losses[0], losses[1], atol=2e-3)


@pytest.mark.parametrize("micro_steps", [1, 4])
def test_a_step_that_overflows_is_made_again_as_it_was(toy, micro_steps) -> None:
    """Same task, rows and dropout: the run is that of one which starts at the lower scale."""
    options = {"gradient_accumulation_steps": micro_steps, "schedule": "linear"}
    trainer = fp16(toy, toy.model(dropout=0.2), loss_scale=2.0**30, **options)
    made = steps(trainer, 6)
    first, last = made[0][1], made[-1][1]
    assert first.retries > 5
    assert first.loss_scale == 2.0 ** (30 - first.retries)
    retries = Counter[str]()
    for task, result in made:
        retries[task] += result.retries
    assert trainer._scale.retries == {task: count for task, count in retries.items() if count}
    assert trainer._scale.value == last.loss_scale == 2.0 ** (30 - retries.total())
    assert trainer.step == 6
    assert trainer._counters.batches == {"flag": 3, "size": 3}
    model = toy.model(dropout=0.2)
    once = steps(fp16(toy, model, loss_scale=first.loss_scale, **options), 6)
    assert once[0] == (made[0][0], replace(first, retries=0))
    assert once[1:] == made[1:]
    assert toy.changed(toy.values(model), trainer.model) == set()


def test_what_is_told_of_a_retry(toy, tmp_path, caplog) -> None:
    from bertmod.builtin.trackers.jsonl import JsonlTracker

    tracker = JsonlTracker(tmp_path)
    trainer = fp16(toy, toy.model(("flag",)), loss_scale=2.0**30, trackers=[tracker])
    with caplog.at_level(logging.INFO, "bertmod"):
        (result,) = trainer.fit()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["event"] == "step"]
    scale, retries = rows[0]["loss_scale"], rows[0]["retries"]
    assert scale == 2.0 ** (30 - retries) < 2.0**25
    line = f"step 1, task flag: not finite at loss scale 1.07374e+09, made at {scale:g}"
    assert line in caplog.messages
    told = [message for message in caplog.messages if "not finite" in message]
    assert len(told) == sum(row["retries"] > 0 for row in rows)
    assert result.retries == sum(row["retries"] for row in rows)
    table = render_results([result]).splitlines()
    assert table[-1] == f"made again at half of the loss scale: flag {result.retries}"
    plain = toy.trainer(toy.model(("flag",))).train_step()[1].values()
    assert {"loss_scale", "retries"} & plain.keys() == set()


def test_the_table_says_nothing_of_a_run_without_retries() -> None:
    result = TaskResult("cola", "dev/matthews", 0.5, 0.5, 1, None, 10, 3, 7)
    assert "made again" not in render_results([result])


def test_a_scale_halves_and_grows_and_a_stated_one_never_grows() -> None:
    dynamic, static = LossScale(8.0, growth_steps=3), LossScale(8.0)
    told = {id(dynamic): [], id(static): []}
    for scale in (dynamic, static):
        assert scale.lower("cola")
        for _ in range(2):
            scale.stepped()
        assert scale.lower("rte")
        for _ in range(7):
            scale.stepped()
            told[id(scale)].append(scale.value)
    assert told[id(dynamic)] == [2, 2, 4, 4, 4, 8, 8]
    assert told[id(static)] == [2] * 7
    assert dynamic.retries == {"cola": 1, "rte": 1}
    copy = LossScale(1.0, growth_steps=3)
    copy.load_state_dict(json.loads(json.dumps(dynamic.state_dict())))
    assert copy.state_dict() == dynamic.state_dict()
    for scale in (dynamic, copy):
        scale.stepped()
        scale.stepped()
    assert copy.value == dynamic.value == 16
    with pytest.raises(CheckpointError, match="unknown state of the loss scale"):
        copy.load_state_dict({"scale": 1.0})


def test_where_a_run_starts() -> None:
    dynamic, stated = build_loss_scale("dynamic", "fp16"), build_loss_scale(128.0, "fp16")
    assert (dynamic.value, stated.value, dynamic.floor) == (65536.0, 128.0, 2.0**-14)
    for _ in range(2000):
        dynamic.stepped()
        stated.stepped()
    assert (dynamic.value, stated.value) == (131072.0, 128.0)
    for precision in ("fp32", "bf16"):
        none = build_loss_scale("dynamic", precision)
        assert (none.value, none.used, none.lower("cola")) == (1.0, False, False)
        with pytest.raises(ValueError, match=f"128.0 is for precision fp16, .* {precision}"):
            build_loss_scale(128.0, precision)


@pytest.mark.parametrize("setting", [0.0, -1.0, float("nan"), float("inf")])
def test_no_scale_that_halving_would_never_end(setting) -> None:
    with pytest.raises(ValueError, match=f"loss_scale is {setting}; it must be finite and at"):
        build_loss_scale(setting, "fp16")


class Broken(torch.nn.Module):
    """A head whose loss is never a number."""

    def __init__(self, head: torch.nn.Module) -> None:
        super().__init__()
        self.head, self.calls = head, 0
        self.want, self.layout, self.info = head.want, head.layout, head.info
        self.num_targets = head.num_targets

    def forward(self, output, batch):
        self.calls += 1
        found = self.head(output, batch)
        losses = {name: (loss * float("nan"), 1.0) for name, (loss, _) in found.losses.items()}
        return type(found)(found.logits, losses)


@pytest.mark.usefixtures("host_copies")
@pytest.mark.parametrize(
    ("precision", "tried", "calls", "other"),
    [
        ("fp16", " at every loss scale from 65536 down to 6.10352e-05", 31, "bf16 or fp32"),
        ("bf16", "", 1, "fp32"),
        ("fp32", "", 1, "fp32"),
    ],
)
def test_a_step_that_no_scale_makes_finite_stops_the_run(
    toy, precision, tried, calls, other
) -> None:
    model = toy.model(("flag",))
    head = Broken(model.heads["flag"])
    model.heads = type(model.heads)({"flag": head})
    trainer = toy.trainer(model, precision=precision, offload="cpu")
    (rows,) = (part.tolist() for part in trainer._orders["flag"].batch(0, step=0, total=1).parts)
    before, scale = toy.values(model), trainer._scale.state_dict()
    with pytest.raises(TrainingError) as error:
        trainer.train_step()
    assert str(error.value) == (
        f"step 1, task flag: classification loss nan{tried}\n"
        f"  rows of its training data in this step (from 0): {rows}\n"
        "  the step was not made; the checkpoints of earlier steps are kept\n"
        f"  look at these rows, lower the learning rate, or use precision {other}"
    )
    assert head.calls == calls
    assert toy.changed(before, model) == set()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert (trainer.step, trainer._scale.state_dict()) == (0, scale)


@pytest.mark.usefixtures("host_copies")
@pytest.mark.parametrize("offload", [None, "cpu"])
def test_a_run_stopped_between_retries_ends_as_one_that_was_not(
    toy, tmp_path, monkeypatch, offload
) -> None:
    """A scale that grows at every step overflows again and again."""
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 1)

    def trainer(folder):
        options = {"save_every": 3, "idle": "dense", "offload": offload}
        return fp16(toy, toy.model(dropout=0.1), loss_scale="dynamic", folder=folder, **options)

    def end(path, resume=False, stop_at=None):
        calls, lower = 0, LossScale.lower

        def counted(self, task):
            nonlocal calls
            calls += 1
            if calls == stop_at:
                raise KeyboardInterrupt
            return lower(self, task)

        with RunFolder(path, resume=resume) as folder, monkeypatch.context() as patch:
            (path / "recipe.json").touch()
            patch.setattr(LossScale, "lower", counted)
            run = trainer(folder)
            try:
                run.fit(resume=resume)
            except KeyboardInterrupt:
                assert stop_at is not None
        return run, calls, load_newest(folder.checkpoints)

    whole, retries, last = end(tmp_path / "whole")
    assert retries > 6
    assert last.state["loss_scale"] == whole._scale.state_dict()
    assert sum(last.state["loss_scale"]["retries"].values()) == retries
    for stop_at in (1, retries):
        path = tmp_path / f"stopped{stop_at}"
        stopped, _, _ = end(path, stop_at=stop_at)
        assert stopped.step < whole.step
        run, _, newest = end(path, resume=True)
        assert newest.state == last.state
        assert toy.changed(toy.values(whole.model), run.model) == set()
        for name, value in last.optimizer.items():
            assert torch.equal(value, newest.optimizer[name]), name


def test_only_a_run_in_fp16_has_a_scale_in_its_checkpoints(toy, tmp_path) -> None:
    for precision in ("fp32", "fp16"):
        with RunFolder(tmp_path / precision) as folder:
            toy.trainer(precision=precision, folder=folder).fit()
        state = load_newest(folder.checkpoints).state
        assert ("loss_scale" in state) == (precision == "fp16")


def test_fp16_on_a_cpu_is_told_once_and_auto_never_takes_it(toy, caplog) -> None:
    fp16(toy, num_epochs=1).fit()
    better = resolve_precision("auto", CPU)
    assert better in ("fp32", "bf16")
    warnings = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert warnings == [f'fp16 is meant for GPUs and slow on a CPU, where "auto" gives {better}']


def test_where_the_product_fails_the_error_names_what_is_accepted() -> None:
    """torch's device without memory can multiply nothing."""
    with pytest.raises(RecipeError) as error:
        resolve_precision("fp16", torch.device("meta"))
    title, path, what, *more = str(error.value).splitlines()
    assert (title, path) == ("this machine: 1 problem", "  training.precision")
    assert what.startswith("      meta of this machine cannot multiply in fp16: ")
    assert more == [
        '      accepted here: "auto", "fp32" or "bf16"',
        "      or another training.device",
    ]
    assert resolve_precision("fp16", CPU) == "fp16"


def test_on_a_cpu_a_model_that_trained_in_fp16_answers_in_fp32() -> None:
    assert answering_precision("fp16", CPU) == "fp32"
    assert answering_precision("fp16", torch.device("cuda:0")) == "fp16"
    assert answering_precision("bf16", CPU) == "bf16"


@pytest.mark.gpu
@pytest.mark.parametrize("offload", [None, "cpu"])
def test_fp16_on_a_gpu(toy, offload) -> None:
    options = {"device": "cuda:0", "learning_rate": 1e-3, "offload": offload}
    trainer = fp16(toy, loss_scale=2.0**30, **options)
    (_, first), *later = steps(trainer, 6)
    assert first.retries > 5
    assert {result.retries for _, result in later} == {0}
    exact = [result.loss for _, result in steps(toy.trainer(**options), 6)]
    np.testing.assert_allclose([first.loss, *(r.loss for _, r in later)], exact, atol=1e-2)
