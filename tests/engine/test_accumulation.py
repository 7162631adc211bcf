"""One optimizer step is the same however its batch is cut and laid out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from bertmod.data.features import Column, FeatureTable


def losses_of(trainer, steps: int) -> list[float]:
    return [trainer.train_step()[1].loss for _ in range(steps)]


def sgd(groups):
    """Plain gradient descent, which does not magnify rounding as Adam's quotients do."""
    return torch.optim.SGD([{"params": [p for _, p in g.parameters]} for g in groups], lr=0.1)


def assert_same(first, second, *, atol: float) -> None:
    others = second.state_dict()
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, others[name], rtol=0, atol=atol, msg=name)


@pytest.mark.parametrize("bucket_window", [1, 8])
@pytest.mark.parametrize("clip", ["global", "per_tensor"])
def test_an_accumulated_step_equals_the_large_batch(toy, bucket_window, clip) -> None:
    """42 features make passes of five batches of 8 and a ragged one of 2."""
    models = []
    losses = []
    for micro_steps in (1, 4):
        model = toy.model()
        tasks = [toy.task(task, count=42) for task in model.tasks]
        trainer = toy.trainer(
            model,
            tasks,
            optimizer=sgd,
            gradient_accumulation_steps=micro_steps,
            bucket_window=bucket_window,
            clip=clip,
            learning_rate=0.1,
            max_grad_norm=0.3,
        )
        losses.append(losses_of(trainer, 12))
        models.append(model)
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-6)
    assert_same(*models, atol=1e-6)


def test_gradients_of_an_accumulated_step(toy) -> None:
    """Gradient descent at rate 1 shows the gradient itself."""
    models = [toy.model(), toy.model()]
    before = toy.values(models[0])
    for model, micro_steps in zip(models, (1, 4), strict=True):
        trainer = toy.trainer(
            model,
            optimizer=sgd,
            gradient_accumulation_steps=micro_steps,
            learning_rate=1.0,
            max_grad_norm=None,
        )
        trainer.train_step()
    assert_same(*models, atol=1e-6)
    assert toy.changed(before, models[0])


def test_targets_are_counted_over_the_whole_window(toy) -> None:
    """With unlabelled rows, a mean of the micro-batches' means would be another number."""
    table = toy.features("flag", 8)
    labels = np.array([1, -1, -1, -1, -1, -1, 0, 1])
    features = FeatureTable(
        table.example,
        table.row_bounds,
        table.token_bounds,
        table.tokens,
        {"labels": Column(labels)},
    )
    task = toy.task("flag")
    results = []
    for micro_steps in (1, 4, 8):
        model = toy.model(("flag",))
        trainer = toy.trainer(
            model,
            [type(task)("flag", features)],
            gradient_accumulation_steps=micro_steps,
            bucket_window=1,
        )
        results.append(trainer.train_step()[1])
    assert [result.features for result in results] == [8, 8, 8]
    np.testing.assert_allclose([r.loss for r in results], results[0].loss, rtol=1e-6)
    np.testing.assert_allclose([r.grad_norm for r in results], results[0].grad_norm, rtol=1e-5)


def test_a_batch_smaller_than_the_window_is_cut_into_single_rows(toy) -> None:
    model = toy.model(("flag",))
    task = toy.task("flag", batch_size=3)
    trainer = toy.trainer(model, [task], gradient_accumulation_steps=4)
    assert trainer.train_step()[1].features == 3


def test_packed_and_padded_rows_train_alike(toy) -> None:
    models, losses = [], []
    for layout in ("packed", "padded"):
        model = toy.model()
        trainer = toy.trainer(model, layout=layout, optimizer=sgd, learning_rate=0.1)
        losses.append(losses_of(trainer, 10))
        models.append(model)
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)
    assert_same(*models, atol=1e-5)


def test_loss_weights_scale_the_gradient_and_what_is_told(toy) -> None:
    results = {}
    for weight in (1.0, 3.0):
        trainer = toy.trainer(toy.model(("flag",)), [toy.task("flag", loss_weight=weight)])
        results[weight] = trainer.train_step()[1]
    assert results[3.0].loss == pytest.approx(3 * results[1.0].loss)
    assert results[3.0].losses == results[1.0].losses
    assert results[3.0].grad_norm == pytest.approx(3 * results[1.0].grad_norm, rel=1e-5)


def test_the_weights_of_named_losses_count_in_the_loss(toy) -> None:
    class TwoLosses(torch.nn.Module):
        """A classification head that states its loss a second time, at a quarter."""

        def __init__(self, head: torch.nn.Module) -> None:
            super().__init__()
            self.head = head
            self.want, self.layout, self.info = head.want, head.layout, head.info

        def num_targets(self, targets, lengths):
            (count,) = self.head.num_targets(targets, lengths).values()
            return {"first": count, "second": 2 * count, "absent": 0.0}

        def forward(self, output, batch):
            found = self.head(output, batch)
            ((loss, _),) = found.losses.values()
            losses = {"first": (loss, 1.0), "second": (loss, 0.25), "absent": (loss * 0, 1.0)}
            return type(found)(found.logits, losses)

    plain = toy.trainer(toy.model(("flag",))).train_step()[1]
    model = toy.model(("flag",))
    model.heads = type(model.heads)({"flag": TwoLosses(model.heads["flag"])})
    result = toy.trainer(model).train_step()[1]
    assert result.losses == pytest.approx({"first": plain.loss, "second": plain.loss / 2})
    assert result.loss == pytest.approx(plain.loss * 1.125)
    assert result.grad_norm == pytest.approx(plain.grad_norm * 1.125, rel=1e-5)


def test_dropout_ends_after_the_given_epochs(toy) -> None:
    """The gradient of a step is exact without dropout, and noisy with it."""
    norms = {}
    for dropout in (0.0, 0.5):
        model = toy.model(dropout=dropout)
        trainer = toy.trainer(
            model, dropout_epochs=1, num_epochs=2, steps_per_epoch=3, learning_rate=1e-12
        )
        norms[dropout] = [trainer.train_step()[1].grad_norm for _ in range(6)]
    assert all(abs(a - b) > 1e-4 for a, b in zip(norms[0.0][:3], norms[0.5][:3], strict=True))
    np.testing.assert_allclose(norms[0.0][3:], norms[0.5][3:], rtol=1e-5)


def test_dropout_is_a_function_of_seed_and_micro_step(toy) -> None:
    losses = []
    for _ in range(2):
        trainer = toy.trainer(toy.model(dropout=0.3), gradient_accumulation_steps=2)
        torch.manual_seed(len(losses))
        losses.append(losses_of(trainer, 4))
    assert losses[0] == losses[1]
    other = toy.trainer(toy.model(dropout=0.3), gradient_accumulation_steps=2, seed=7)
    assert losses_of(other, 4) != losses[0]


def test_bf16_computes_in_bf16_and_keeps_fp32(toy) -> None:
    seen: Counter[torch.dtype] = Counter()
    model = toy.model()
    model.encoder.register_forward_hook(lambda _, __, out: seen.update([out.pooled_RH.dtype]))
    linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    for linear in linears:
        linear.register_forward_hook(lambda _, __, out: seen.update([out.dtype]))
    trainer = toy.trainer(model, precision="bf16", optimizer="bert_adam", learning_rate=1e-3)
    losses = losses_of(trainer, 6)
    exact = losses_of(toy.trainer(optimizer="bert_adam", learning_rate=1e-3), 6)
    assert torch.bfloat16 in seen
    assert losses != exact
    np.testing.assert_allclose(losses, exact, atol=0.05)
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    states = trainer._optimizer.state.values()
    found = {v.dtype for state in states for v in state.values() if isinstance(v, torch.Tensor)}
    assert found == {torch.float32}


def test_all_of_a_model_trains_whatever_mode_its_parts_were_in(toy) -> None:
    """A step goes through the modules of all tasks only where the mode changes."""
    models = [toy.model(dropout=0.1), toy.model(dropout=0.1)]
    models[1].encoder.eval()
    losses = [losses_of(toy.trainer(model), 2) for model in models]
    assert losses[0] == losses[1]
