"""No built-in part of a model asks its device for a number in a training step.

A GPU that is asked has to finish everything first. The meta device has no numbers: whatever asks
it for one fails, and whatever is computed from shapes alone does not.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from bertmod.data.collate import collate, row_layout
from bertmod.library import build_adapter, build_encoder, build_head, installed
from bertmod.model.multitask import MultiTaskModel
from bertmod.testing.head_batches import build, labelled
from bertmod.testing.subject import HOST, subjects

OPTIONS = {
    "pals": {"bottleneck_size": 12, "num_heads": 3},
    "low_rank": {"bottleneck_size": 8},
    "bottleneck": {"bottleneck_size": 8},
    "top_attention": {"bottleneck_size": 12, "num_heads": 3},
}


def names(kind: str) -> list[str]:
    return sorted(
        each.spec.name for each in installed().entries(kind) if each.provider == "bertmod"
    )


@pytest.fixture(autouse=True)
def _no_autocast(monkeypatch) -> None:
    """It refuses the meta device, even where it is off."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def train(model: MultiTaskModel, head, table) -> None:
    """Forward and backward of a batch, on the meta device."""
    model.to("meta").train()
    batch = collate(table, layout=row_layout([head.layout], "packed"), device="meta")
    losses = model(batch, "task").losses
    assert losses
    torch.stack([weight * value for value, weight in losses.values()]).sum().backward()
    grads = [parameter.grad for parameter in model.heads.parameters()]
    assert all(grad is not None and grad.device.type == "meta" for grad in grads)


@pytest.mark.parametrize("name", names("head"))
def test_of_a_head(name) -> None:
    spec = installed().get("head", name).spec
    for subject in subjects(spec, [{}]):
        head = build(subject)
        encoder = build_encoder("bert", **HOST)
        train(MultiTaskModel(encoder, {}, {"task": head}), head, labelled(subject))


@pytest.mark.parametrize("name", names("adapter"))
def test_of_an_adapter(name) -> None:
    subject = subjects(installed().get("head", "classification").spec, [{}])[0]
    encoder = build_encoder("bert", **HOST)
    if name == "lhuc":  # it scales what another adds
        own = {"earlier": build_adapter(encoder, "task", "low_rank", **OPTIONS["low_rank"])}
    else:
        own = {}
    own["own"] = build_adapter(encoder, "task", name, **OPTIONS.get(name, {}))
    head = build_head(encoder, "task", "classification", labels=("a", "b", "c"))
    train(MultiTaskModel(encoder, {"task": own}, {"task": head}), head, labelled(subject))


def test_what_asks_is_found() -> None:
    with pytest.raises(RuntimeError, match="meta"):
        torch.ones(3, device="meta").sum().item()
