"""An encoder that took the adapters in gives what it gave with them."""

from __future__ import annotations

import itertools

import pytest
import torch

from bertmod import Adapter, Batch, CheckpointError, Encoder
from bertmod.model.merging import merged_encoder
from bertmod.model.sites import TaskSites

WANT = frozenset({"hidden", "layers", "pooled"})
NOBODY: tuple[Adapter, ...] = ()
PROJECTIONS = ("query", "key", "value", "attention_dense", "ffn_up", "ffn_down")


@torch.no_grad()
def hidden(encoder: Encoder, batch: Batch, adapters=NOBODY) -> torch.Tensor:
    """All layers' hidden states, (layers + 1, tokens, hidden)."""
    output = encoder(batch, TaskSites(tuple(adapters), batch.context), want=WANT)
    assert output.layers is not None
    return torch.stack(output.layers)


CHOICES = {
    "lora": ("lora", {}),
    "lora everywhere": ("lora", {"rank": 2, "alpha": 6.0, "sites": PROJECTIONS}),
    "lora in one layer": ("lora", {"layers": (1,), "sites": ("ffn_down", "query")}),
    "ia3": ("ia3", {}),
    "ia3 on projections": ("ia3", {"sites": PROJECTIONS}),
}


def assert_merges(encoder: Encoder, batch: Batch, adapters: dict[str, Adapter]) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    merged = merged_encoder(encoder, adapters)
    with_adapters = hidden(encoder, batch, adapters.values())
    difference = (hidden(merged, batch) - with_adapters).abs().max().item()
    assert difference < 1e-5
    assert (hidden(encoder, batch) - with_adapters).abs().max().item() > 0.05
    assert all(torch.equal(before[name], each) for name, each in encoder.state_dict().items())


@pytest.mark.parametrize("choice", CHOICES)
def test_one_adapter(adapter, encoder, batch, choice) -> None:
    name, options = CHOICES[choice]
    assert_merges(encoder, batch, {name: adapter(name, **options)})


@pytest.mark.parametrize("names", list(itertools.permutations(CHOICES, 2)), ids=" then ".join)
def test_two_adapters_in_the_order_in_which_they_act(adapter, encoder, batch, names) -> None:
    adapters = {name: adapter(CHOICES[name][0], **CHOICES[name][1]) for name in names}
    assert_merges(encoder, batch, adapters)


def test_an_adapter_that_did_not_train_merges_into_the_same_weights(adapter, encoder) -> None:
    adapters = {name: adapter(name, start=True) for name in ("lora", "ia3")}
    merged = merged_encoder(encoder, adapters).state_dict()
    assert all(torch.equal(merged[name], each) for name, each in encoder.state_dict().items())


def test_a_scale_on_a_block_that_no_projection_reads(adapter, encoder) -> None:
    with pytest.raises(CheckpointError, match="cannot be merged") as caught:
        merged_encoder(encoder, {"scales": adapter("ia3", sites=("value", "ffn_output"))})
    assert str(caught.value) == (
        '"scales" cannot be merged at "ffn_output" in layer 0: "ffn_output" is not a projection '
        "site of this encoder; there are query, key, value, attention_dense, ffn_up, ffn_down"
    )
