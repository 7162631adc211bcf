"""Merging adapters into a copy of an encoder: in which order, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bertmod import CheckpointError
from bertmod.builtin.encoders.modules import BertEncoder
from bertmod.builtin.encoders.plugin import BertConfig
from bertmod.model.merging import merged_encoder


class Scale(nn.Module):
    """Multiplies y by a vector; writes down where it was merged."""

    replaces: frozenset[tuple[str, int]] = frozenset()

    def __init__(self, places, log, name="scale") -> None:
        super().__init__()
        self.sites, self.log, self.name = places, log, name
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, site, layer, x_TI, y_TO, context):
        return y_TO * self.factor

    def merge(self, site, layer, projection) -> None:
        self.log.append((self.name, site, layer))
        weight, bias = projection(site, layer)
        weight *= self.factor
        bias *= self.factor


class Shift(nn.Module):
    """Cannot be merged."""

    replaces: frozenset[tuple[str, int]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.sites = {"query": (0,)}

    def forward(self, site, layer, x_TI, y_TO, context):
        return y_TO + x_TI


@pytest.fixture
def encoder() -> BertEncoder:
    torch.manual_seed(0)
    return BertEncoder(
        BertConfig(vocab_size=11, hidden_size=8, num_hidden_layers=2, num_attention_heads=2)
    )


def test_the_last_site_comes_first_and_the_first_adapter_at_it(encoder) -> None:
    log: list[tuple[str, str, int]] = []
    first = Scale({"query": (0,), "ffn_down": (0, 1)}, log, "first")
    second = Scale({"ffn_down": (1,), "ffn_up": (0,)}, log, "second")
    merged_encoder(encoder, {"first": first, "second": second})
    assert log == [
        ("first", "ffn_down", 0),
        ("first", "ffn_down", 1),
        ("second", "ffn_down", 1),
        ("second", "ffn_up", 0),
        ("first", "query", 0),
    ]


def test_the_copy_changes_behind_the_sites_and_nowhere_else(encoder) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    merged = merged_encoder(encoder, {"scale": Scale({"key": (1,)}, [])})
    changed = {
        name
        for name, tensor in merged.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    assert changed == {"layer.1.attention.qkv.weight"}  # biases are 0
    weight = merged.state_dict()["layer.1.attention.qkv.weight"] / before[changed.pop()]
    assert weight.chunk(3)[0].unique().item() == 1
    assert weight.chunk(3)[1].unique().item() == 2
    assert all(torch.equal(before[name], each) for name, each in encoder.state_dict().items())
    trainable = [parameter.requires_grad for parameter in merged.parameters()]
    assert all(trainable)
    assert all(parameter.is_leaf for parameter in merged.parameters())


def test_without_adapters_it_is_a_copy(encoder) -> None:
    merged = merged_encoder(encoder, {})
    assert merged is not encoder
    assert all(
        torch.equal(merged.state_dict()[name], each) for name, each in encoder.state_dict().items()
    )


def test_an_adapter_that_cannot_be_merged(encoder) -> None:
    adapters = {"scale": Scale({"key": (1,)}, []), "shift": Shift(), "other": Shift()}
    with pytest.raises(CheckpointError, match="cannot be merged") as caught:
        merged_encoder(encoder, adapters)
    assert str(caught.value) == (
        '"shift", "other" cannot be merged into the encoder\'s weights: no change of them does the '
        "same (adapters that can have a method `merge`)"
    )


def test_a_site_whose_weights_cannot_take_it_in(encoder) -> None:
    with pytest.raises(CheckpointError, match="cannot be merged") as caught:
        merged_encoder(encoder, {"scale": Scale({"layer_output": (1,)}, [])})
    assert str(caught.value) == (
        '"scale" cannot be merged at "layer_output" in layer 1: "layer_output" is not a projection '
        "site of this encoder; there are query, key, value, attention_dense, ffn_up, ffn_down"
    )


def test_a_site_that_the_encoder_lacks(encoder) -> None:
    with pytest.raises(CheckpointError, match="lacks") as caught:
        merged_encoder(encoder, {"scale": Scale({"gate": (1,)}, [])})
    assert str(caught.value) == '"scale" acts at "gate", which this encoder lacks'
