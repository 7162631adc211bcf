"""Gradients leave while the backward pass goes on, and their sums are what they were without it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import Parameter
from torch.utils.checkpoint import checkpoint

from bertmod.engine import gradient_sums
from bertmod.engine.gradient_sums import _Sending, sending_order
from bertmod.engine.parallel import ALONE, LostProcessError
from bertmod.errors import TrainingError

SMALL = 2000
"""Entries of a bucket where a toy model is to have several; larger parameters have their own."""


@pytest.fixture(scope="module", autouse=True)
def _imported(toy) -> None:
    """What forks would import each for itself."""
    toy.trainer(toy.model()).train_step()


def course(toy, ranks, *, steps=2, dropout=0.1, change=None, **options):
    """What some steps of two tasks gave, and the parameters after them."""
    model = toy.model(dropout=dropout)
    if change is not None:
        change(model)
    tasks = [toy.task(task, count=42) for task in model.tasks]
    trainer = toy.trainer(model, tasks, ranks=ranks, **options)
    results = [trainer.train_step()[1] for _ in range(steps)]
    return results, {name: value.numpy() for name, value in model.state_dict().items()}


def assert_equal(one, other) -> None:
    assert one[0] == other[0]
    for name, value in one[1].items():
        assert np.array_equal(value, other[1][name]), name


def sent_early(monkeypatch) -> list[tuple[int, int]]:
    """For each backward pass the number of buckets that left during it, and of all."""
    found, finish = [], _Sending.finish

    def spy(self):
        found.append((len(self._sent), len(self._buckets)))
        finish(self)

    monkeypatch.setattr(_Sending, "finish", spy)
    return found


def keep_all(monkeypatch) -> None:
    """Everything is sent after the backward pass."""
    monkeypatch.setattr(_Sending, "arrived", lambda self, own: None)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"idle": "dense", "gradient_accumulation_steps": 2},
        {"idle": "own_clock", "activation_checkpointing": True},
    ],
    ids=["plain", "dense_accumulated", "own_clock_checkpointed"],
)
def test_sums_are_the_same_to_the_last_bit(toy, in_processes, monkeypatch, options) -> None:
    monkeypatch.setattr(gradient_sums, "BUCKET", SMALL)
    early = sent_early(monkeypatch)
    overlapped, other = in_processes(lambda ranks: (course(toy, ranks, **options), early))
    with monkeypatch.context() as patch:
        keep_all(patch)
        after, _ = in_processes(lambda ranks: (course(toy, ranks, **options), early))
    assert_equal(overlapped[0], other[0])
    assert_equal(overlapped[0], after[0])
    assert overlapped[1] == other[1]
    assert all(sent == of > 2 for sent, of in overlapped[1])
    assert all(sent == 0 for sent, _ in after[1])


def test_one_bucket_or_many(toy, in_processes, monkeypatch) -> None:
    whole = in_processes(lambda ranks: course(toy, ranks))[0]
    monkeypatch.setattr(gradient_sums, "BUCKET", 500)
    assert_equal(in_processes(lambda ranks: course(toy, ranks))[1], whole)


@pytest.mark.usefixtures("host_copies")
def test_what_goes_to_the_host_is_summed_there_afterwards(toy, in_processes, monkeypatch) -> None:
    monkeypatch.setattr(gradient_sums, "BUCKET", SMALL)
    early = sent_early(monkeypatch)
    plain, _ = in_processes(lambda ranks: course(toy, ranks))
    moved, _ = in_processes(lambda ranks: (course(toy, ranks, offload="cpu"), early))
    assert_equal(moved[0], plain)
    assert all(sent == 0 < of for sent, of in moved[1])


def test_any_order_and_what_never_comes(in_processes) -> None:
    """Four buckets; one process has the first gradient last, the other lacks the second."""

    def child(ranks):
        parameters = [Parameter(torch.zeros(3)) for _ in range(4)]
        sending = _Sending([(own,) for own in parameters], ranks)
        sent = []
        for number in ((3, 1, 2, 0), (0, 3, 2))[ranks.rank]:
            parameters[number].grad = torch.full((3,), 10.0**ranks.rank * (number + 1))
            sending.arrived(parameters[number])
            sent.append(len(sending._sent))
        sending.finish()
        return sent, [own.grad.tolist() for own in parameters]

    first, second = in_processes(child)
    assert first == ([0, 0, 0, 4], [[11.0] * 3, [2.0] * 3, [33.0] * 3, [44.0] * 3])
    assert second == ([1, 1, 1], first[1])


@pytest.mark.parametrize("reentrant_in", [{1}, {0, 1}])
def test_what_a_backward_pass_within_adds_after_a_bucket_left(
    toy, in_processes, monkeypatch, reentrant_in
) -> None:
    """The second layer is gone through twice, and the first one, though active, never."""

    def twice(model, *, reentrant: bool) -> None:
        first, second = model.encoder.blocks
        forward = second.forward
        for block in (first, second):
            block.forward = partial(checkpoint, forward, use_reentrant=reentrant)

    def child(ranks):
        reentrant = ranks.rank in reentrant_in
        return course(toy, ranks, dropout=0.0, change=lambda m: twice(m, reentrant=reentrant))

    late, add = [], _Sending._add_late
    monkeypatch.setattr(_Sending, "_add_late", lambda self: (late.append(1), add(self)))
    monkeypatch.setattr(gradient_sums, "BUCKET", 1)
    alone = course(toy, ALONE, dropout=0.0, change=lambda m: twice(m, reentrant=False))
    (first, times), (second, _) = in_processes(lambda ranks: (child(ranks), len(late)))
    assert_equal(first, second)
    assert times == 2
    losses = [[result.loss for result in each[0]] for each in (first, alone)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    for name, value in alone[1].items():
        np.testing.assert_allclose(first[1][name], value, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("struck", [{0: 1}, {1: 2}, {0: 1, 1: 2}])
def test_an_end_in_the_middle_of_a_backward_pass(toy, in_processes, monkeypatch, struck) -> None:
    """Processes end, some with buckets on their way; nobody waits for what will never come."""
    monkeypatch.setattr(gradient_sums, "BUCKET", SMALL)

    def child(ranks):
        model = toy.model(("flag",))
        trainer = toy.trainer(model, ranks=ranks)
        trainer.train_step()
        send, left = _Sending._send_next, struck.get(ranks.rank, -1)

        def strike(self):
            if len(self._sent) == left:
                raise KeyboardInterrupt
            send(self)

        _Sending._send_next = strike
        try:
            trainer.train_step()
        except (KeyboardInterrupt, LostProcessError) as error:
            hooks = [own._post_accumulate_grad_hooks for own in model.parameters()]
            return type(error).__name__, any(hooks)
        return "none", None

    found = in_processes(child)
    for rank, (name, hooks) in enumerate(found):
        assert name == ("KeyboardInterrupt" if rank in struck else "LostProcessError")
        assert not hooks


def test_not_a_number_in_one_process_ends_all(toy, in_processes, monkeypatch) -> None:
    monkeypatch.setattr(gradient_sums, "BUCKET", SMALL)

    def child(ranks):
        model = toy.model(("flag",))
        trainer = toy.trainer(model, ranks=ranks)
        trainer.train_step()
        before = toy.values(model)
        if ranks.rank == 1:
            weight = next(model.parameters())
            weight.register_hook(lambda gradient: gradient * float("nan"))
        try:
            trainer.train_step()
        except TrainingError as error:
            return str(error), toy.changed(before, model)
        return None

    first, second = in_processes(child)
    assert first == second
    assert first[0].startswith("step 2, task flag: gradient norm nan")
    assert first[1] == set()


def test_what_is_sent_first() -> None:
    names = ["encoder.embeddings", "encoder.first", "encoder.last", "adapters.a", "heads.a"]
    assert sending_order(names) == [
        "heads.a",
        "encoder.last",
        "encoder.first",
        "encoder.embeddings",
        "adapters.a",
    ]
