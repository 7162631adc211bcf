"""A loss or gradient that is not finite stops the run and changes nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from bertmod import TrainingError
from bertmod.engine.checkpoint import load_newest
from bertmod.engine.run_folder import RunFolder


class Poison(torch.nn.Module):
    """A head whose loss is not a number once it meets one of some features' first tokens."""

    def __init__(self, head: torch.nn.Module, tokens: list[int], value: float) -> None:
        super().__init__()
        self.head, self.tokens, self.value = head, torch.tensor(tokens), value
        self.want, self.layout, self.info = head.want, head.layout, head.info

    def num_targets(self, targets, lengths):
        return self.head.num_targets(targets, lengths)

    def forward(self, output, batch):
        found = self.head(output, batch)
        bad = torch.isin(batch.input_ids_T, self.tokens).any()
        losses = {
            name: (loss * torch.where(bad, self.value, 1.0), weight)
            for name, (loss, weight) in found.losses.items()
        }
        return type(found)(found.logits, losses)

    def decode(self, output, batch):
        return self.head.decode(output, batch)


def poisoned(toy, rows: list[int], value: float = float("nan")):
    """A model whose ``flag`` task fails on rows of its training data, and its tasks."""
    model = toy.model()
    tasks = [toy.task(task) for task in model.tasks]
    table = tasks[0].train
    for mark, row in enumerate(rows):
        table.tokens["input_ids"][table.token_bounds[row]] = 38 + mark
    ids, marks = table.tokens["input_ids"], [38 + mark for mark in range(len(rows))]
    ids[np.isin(ids, marks) & ~np.isin(np.arange(len(ids)), table.token_bounds[rows])] = 5
    model.heads = type(model.heads)(
        {"flag": Poison(model.heads["flag"], marks, value), "size": model.heads["size"]}
    )
    return model, tasks


@pytest.mark.parametrize("micro_steps", [1, 4])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_step_task_and_rows_are_named_and_nothing_changes(toy, value, micro_steps) -> None:
    model, tasks = poisoned(toy, [17], value)
    trainer = toy.trainer(model, tasks, gradient_accumulation_steps=micro_steps, reshuffle=False)
    drawn = [trainer._orders["flag"].batch(k, step=k, total=5) for k in range(5)]
    rows = [np.concatenate(each.parts).tolist() for each in drawn]
    bad = next(k for k, batch in enumerate(rows) if 17 in batch)
    for _ in range(2 * bad):  # tasks take turns
        trainer.train_step()
    before = toy.values(model)
    state = copy.deepcopy(trainer._optimizer.state_dict()["state"])
    for _ in range(2):  # and so it stays
        with pytest.raises(TrainingError) as error:
            trainer.train_step()
        assert str(error.value) == (
            f"step {2 * bad + 1}, task flag: classification loss {value}\n"
            f"  rows of its training data in this step (from 0): {rows[bad]}\n"
            "  the step was not made; the checkpoints of earlier steps are kept\n"
            "  look at these rows, lower the learning rate, or use precision fp32"
        )
    assert error.value.exit_status == 1
    assert toy.changed(before, model) == set()
    torch.testing.assert_close(trainer._optimizer.state_dict()["state"], state, rtol=0, atol=0)
    assert trainer.step == 2 * bad
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_gradient_alone_that_is_not_finite(toy) -> None:
    """The loss is fine, but its derivative is not: the root of 0."""

    class Root(Poison):
        def forward(self, output, batch):
            found = self.head(output, batch)
            losses = {
                name: (loss + (loss - loss).sqrt(), weight)
                for name, (loss, weight) in found.losses.items()
            }
            return type(found)(found.logits, losses)

    model = toy.model(("flag",))
    model.heads = type(model.heads)({"flag": Root(model.heads["flag"], [], 0.0)})
    before = toy.values(model)
    with pytest.raises(TrainingError, match="step 1, task flag: gradient norm nan"):
        toy.trainer(model).train_step()
    assert toy.changed(before, model) == set()


def test_a_poisoned_parameter(toy) -> None:
    model = toy.model()
    trainer = toy.trainer(model, optimizer="bert_adam")
    trainer.train_step()
    with torch.no_grad():
        model.encoder.get_parameter("layer.0.ffn.up.weight")[0, 0] = float("inf")
    before = toy.values(model)
    with pytest.raises(TrainingError, match="step 2, task size: regression loss nan"):
        trainer.train_step()
    assert toy.changed(before, model) == set()


def test_the_last_checkpoint_stays(toy, tmp_path) -> None:
    model, tasks = poisoned(toy, [17])
    with RunFolder(tmp_path / "run") as folder:
        trainer = toy.trainer(
            model, tasks, folder=folder, save_every=1, reshuffle=False, num_epochs=9
        )
        with pytest.raises(TrainingError):
            trainer.fit()
    newest = load_newest(folder.checkpoints)
    assert newest is not None
    assert newest.step == trainer.step > 0
    assert all(torch.isfinite(value).all() for value in newest.model.values())
