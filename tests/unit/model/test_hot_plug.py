"""Tasks that come to a model and go from it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from bertmod import Batch
from bertmod.library import build_adapter, build_encoder, build_head
from bertmod.model.multitask import MultiTaskModel
from bertmod.nn.context import RowContext

WANT = frozenset({"pooled"})


@contextmanager
def refused(message: str) -> Iterator[None]:
    """Expects a ValueError whose message begins so."""
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        yield


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_encoder(
        "bert",
        hidden_size=12,
        num_attention_heads=3,
        num_hidden_layers=2,
        vocab_size=31,
        intermediate_size=24,
        max_position_embeddings=9,
    )


def parts(encoder, task: str):
    """PALs that do something, and a head."""
    adapter = build_adapter(encoder, task, "pals", bottleneck_size=12)
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_(0, 0.5)
    return {"pals": adapter}, build_head(encoder, task, "classification", labels=("no", "yes"))


def rows(*tasks: int) -> Batch:
    count = max(len(tasks), 1)
    context = RowContext.of(np.full(count, 3), tasks=tasks or None)
    return Batch(torch.arange(3 * count), None, torch.arange(count), {}, context)


def logits(model, task):
    with torch.no_grad():
        return model(rows(), task).logits["logits"]


def test_a_task_comes_and_goes(encoder) -> None:
    a, b = parts(encoder, "a"), parts(encoder, "b")
    model = MultiTaskModel(encoder, {"a": a[0]}, {"a": a[1]}).eval()
    wanted = logits(MultiTaskModel(encoder, {"b": b[0]}, {"b": b[1]}).eval(), "b")
    names = [name for name, _ in model.named_parameters()]
    model.attach("b", *b)
    assert model.tasks == ("a", "b")
    assert torch.equal(logits(model, "b"), wanted)
    assert "adapters.b.pals.qkv.0.weight" in dict(model.named_parameters())
    adapters, head = model.detach("b")
    assert (adapters["pals"], head) == (b[0]["pals"], b[1])
    assert [name for name, _ in model.named_parameters()] == names
    with refused('the model has no task "b"; it has a'):
        logits(model, "b")
    model.attach("b", adapters, head)
    assert torch.equal(logits(model, "b"), wanted)


def test_a_model_may_begin_without_tasks(encoder) -> None:
    model = MultiTaskModel(encoder, {}, {}).eval()
    with refused('the model has no task "a"; it has none'):
        model.head("a")
    model.attach("a", {}, parts(encoder, "a")[1])
    assert logits(model, "a").shape == (1, 2)


@pytest.mark.parametrize("mode", [True, False])
def test_modules_go_where_the_encoder_is(encoder, mode) -> None:
    model = MultiTaskModel(encoder.double(), {}, {}).train(mode)
    adapters, head = parts(encoder, "a")
    head.train(not mode)
    model.attach("a", {name: each.float() for name, each in adapters.items()}, head.float())
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert {module.training for module in model.modules()} == {mode}


def test_numbers_are_not_given_twice(encoder) -> None:
    model = MultiTaskModel(encoder, {}, {}).eval()
    for task in "abc":
        model.attach(task, *parts(encoder, task))
    in_flight = rows(0, 2)
    wanted = model.encode(in_flight, want=WANT).pooled_RH
    model.detach("b")
    model.attach("d", *parts(encoder, "d"))
    assert [model.number(task) for task in model.tasks] == [0, 2, 3]
    assert torch.equal(model.encode(in_flight, want=WANT).pooled_RH, wanted)
    with refused(
        "rows 1 to 1 of the batch are of task number 1, which the model has not; it has "
        "0 a, 2 c, 3 d"
    ):
        model.encode(rows(0, 1), want=WANT)


def test_borrowers(encoder) -> None:
    model = MultiTaskModel(encoder, {}, {}).eval()
    model.attach("mnli", *parts(encoder, "mnli"))
    model.borrow("ax", "mnli")
    assert torch.equal(logits(model, "ax"), logits(model, "mnli"))
    assert model.number("ax") == model.number("mnli")
    with refused('the model has a task "ax" already'):
        model.borrow("ax", "mnli")
    with refused('task "new" cannot use "ax": mnli have heads'):
        model.borrow("new", "ax")
    with refused(
        'task "mnli" cannot be detached, since others borrow its '
        "adapters and head: ax\n  release those first"
    ):
        model.detach("mnli")
    with refused(
        'task "ax" borrows from "mnli" and has nothing of its own to detach: release it instead'
    ):
        model.detach("ax")
    model.release("ax")
    with refused('task "ax" does not borrow from another'):
        model.release("ax")
    model.detach("mnli")
    assert model.tasks == ()


def test_what_cannot_be_attached(encoder) -> None:
    model = MultiTaskModel(encoder, {}, {}).eval()
    adapters, head = parts(encoder, "a")
    model.attach("a", adapters, head)
    model.borrow("x", "a")
    for task in "ax":
        with refused(f'the model has a task "{task}" already: detach'):
            model.attach(task, {}, head)
    pals = adapters["pals"]
    pals.sites = {"layer_residual": (0, 2)}
    with refused(
        'adapter "p" of task "b" acts at "layer_residual" in '
        "layer 2, but the encoder has the layers 0 to 1 there"
    ):
        model.attach("b", {"p": pals}, head)
    pals.sites = {"nowhere": (0,)}
    with refused(
        'adapter "p" of task "b" acts at "nowhere", but the '
        "encoder's sites are embedding_output, query, "
    ):
        model.attach("b", {"p": pals}, head)
    head.want = frozenset({"pooled", "images"})
    with refused('the head of task "b" wants what the encoder does not provide: images'):
        model.attach("b", {}, head)
    assert model.tasks == ("a",)
    assert "b" not in model.adapters
    assert "b" not in model.heads


def test_forwards_go_on_while_tasks_come_and_go(encoder) -> None:
    model = MultiTaskModel(encoder, {}, {}).eval()
    model.attach("a", *parts(encoder, "a"))
    wanted, failures = logits(model, "a"), []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                if not torch.equal(logits(model, "a"), wanted):
                    failures.append("another answer")
            except Exception as error:
                failures.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(20):
        model.attach("b", *parts(encoder, "b"))
        model.detach("b")
    done.set()
    asking.join()
    assert not failures
