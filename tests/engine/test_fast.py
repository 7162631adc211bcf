"""Steps with the attention and dropout made for a CPU, beside those with torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertmod.data.collate import collate
from bertmod.engine.precision import autocast
from bertmod.nn import context


def gradients(toy, model, *, fast: bool, layout="packed", precision="fp32"):
    """Loss and every gradient of a batch, without dropout."""
    model.zero_grad()
    batch = collate(toy.features("flag", 12), layout=layout, fast=fast)
    with autocast(precision, torch.device("cpu")):
        (value, _) = next(iter(model(batch, "flag").losses.values()))
    value.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    return value.detach(), found


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_gradients_are_those_of_the_plain_path(toy, layout) -> None:
    model = toy.model()
    plain, fast = (gradients(toy, model, fast=fast, layout=layout) for fast in (False, True))
    assert abs(float(plain[0] - fast[0])) <= 1e-5 * abs(float(plain[0]))
    assert plain[1].keys() == fast[1].keys()
    for name, gradient in plain[1].items():
        scale = max(1.0, float(gradient.abs().max()))
        assert float((gradient - fast[1][name]).abs().max()) <= 1e-5 * scale, name


def test_bf16_is_as_near_to_fp64_as_the_plain_path(toy) -> None:
    model = toy.model()
    _, exact = gradients(toy, toy.model().double(), fast=False)

    def error(fast: bool) -> float:
        _, found = gradients(toy, model, fast=fast, precision="bf16")
        squares = [(found[n].double() - g).square().sum() / g.numel() for n, g in exact.items()]
        return float(torch.stack(squares).mean().sqrt())

    assert 0 < error(True) <= 1.25 * error(False)


@pytest.mark.usefixtures("flash_on_cpu")
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_rows_as_they_lie_are_as_near_to_fp64_as_the_plain_path(toy, monkeypatch, layout) -> None:
    """Encoder and adapters ask for the attention of a GPU, and for no other."""
    model, asked = toy.model(), []
    _, exact = gradients(toy, toy.model().double(), fast=False, layout=layout)
    _, plain = gradients(toy, model, fast=False, layout=layout, precision="bf16")
    kernel = context.varlen_attention
    monkeypatch.setattr(
        context, "varlen_attention", lambda *q, **more: asked.append(1) or kernel(*q, **more)
    )
    _, found = gradients(toy, model, fast=True, layout=layout, precision="bf16")
    assert len(asked) == 4

    def error(half) -> float:
        squares = [(half[n].double() - g).square().sum() / g.numel() for n, g in exact.items()]
        return float(torch.stack(squares).mean().sqrt())

    assert 0 < error(found) <= 1.25 * error(plain)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_without_dropout_goes_as_without_it(toy, precision) -> None:
    tolerance = {"fp32": 1e-4, "bf16": 3e-2}[precision]
    losses = {}
    for fast in (False, True):
        trainer = toy.trainer(toy.model(), fast=fast, precision=precision, learning_rate=1e-3)
        losses[fast] = [trainer.train_step()[1].loss for _ in range(10)]
    assert np.allclose(losses[False], losses[True], rtol=tolerance, atol=0)


def test_masks_are_a_function_of_seed_and_step(toy) -> None:
    """Runs repeat bit for bit; on the same rows every step has other masks, and so has a seed."""

    def norms(seed: int) -> list[float]:
        trainer = toy.trainer(toy.model(dropout=0.3), seed=seed, learning_rate=1e-12)
        rows = [toy.features("flag", 8)]
        found = []
        for _ in range(4):
            trainer.model.train()
            found.append(trainer.step_on("flag", rows).grad_norm)
            trainer._counters.step += 1
        return found

    first = norms(1)
    assert norms(1) == first
    assert len(set(first)) == 4
    assert not set(norms(2)) & set(first)


def test_the_plain_path_draws_torchs_own_masks(toy) -> None:
    """Off, a context is torch's own; on, it is not; compiled layers are never fast."""
    x = torch.ones(16, 8)
    table = toy.features("flag", 4)
    plain = collate(table).context.with_training(True)
    torch.manual_seed(0)
    expected = torch.nn.functional.dropout(x, 0.5)
    torch.manual_seed(0)
    assert torch.equal(plain.dropout(x, 0.5), expected)
    fast = collate(table, fast=True).context.with_training(True)
    torch.manual_seed(0)
    assert not torch.equal(fast.dropout(x, 0.5), expected)


@pytest.mark.slow
def test_the_recipe_chooses(program, write_recipe, tmp_path, run_files) -> None:
    """``training.fast`` false gives other masks than true, and each repeats on a resume."""
    losses = {}
    for fast in (True, False):
        options = {"num_epochs": 1, "fast": fast}
        recipe = write_recipe(tmp_path / str(fast), training=options)
        run = tmp_path / f"run_{fast}"
        ended = program("run", recipe, "--output", run, "--quiet")
        assert ended.status == 0, ended.err
        losses[fast] = [row["loss"] for row in run_files.rows(run, "step")]
    assert losses[True] != losses[False]
    assert np.allclose(losses[True], losses[False], rtol=0.5)
