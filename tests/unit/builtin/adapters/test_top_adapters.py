"""Attention blocks and encoder layers on top: what is computed, named and refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from bertmod import Problem
from bertmod.builtin.adapters.top_attention_config import TopAttentionConfig
from bertmod.builtin.adapters.top_attention_config import check as check_attention
from bertmod.builtin.adapters.top_layer_config import TopLayerConfig
from bertmod.builtin.adapters.top_layer_config import check as check_layer
from bertmod.builtin.encoders.modules import BertEncoder
from bertmod.builtin.encoders.plugin import BertConfig
from bertmod.model.sites import TaskSites
from bertmod.nn.context import RowContext

LENGTHS = (4, 2)
CONTEXT = RowContext.of(np.array(LENGTHS))
WANT = frozenset({"layers", "pooled"})


def attention(q, k, v, heads: int) -> torch.Tensor:
    """Softmax attention within each row, by the formula."""
    rows, begin = [], 0
    for length in LENGTHS:
        parts = [
            x[begin : begin + length].view(length, heads, -1).transpose(0, 1) for x in (q, k, v)
        ]
        weights = (parts[0] @ parts[1].transpose(1, 2) / parts[0].shape[-1] ** 0.5).softmax(-1)
        rows.append((weights @ parts[2]).transpose(0, 1).flatten(1))
        begin += length
    return torch.cat(rows)


def test_what_top_attention_computes(make) -> None:
    module = make("top_attention", bottleneck_size=8, num_blocks=2, num_heads=4).module
    embedded, y = torch.randn(6, 24), torch.randn(6, 24)
    hidden = F.linear(y, module.down.weight, module.down.bias)
    for block in module.blocks:
        mixed = attention(*block.qkv(hidden).chunk(3, -1), heads=4)
        hidden = F.layer_norm(
            block.dense(mixed) + hidden, (8,), block.norm.weight, block.norm.bias, eps=1e-3
        )
    wanted = F.linear(hidden, module.up.weight, module.up.bias)
    torch.testing.assert_close(module("encoder_output", 0, embedded, y, CONTEXT), wanted)


def test_what_top_layer_computes(make, encoder, batch) -> None:
    """A layer on top with the weights of the last is an encoder whose last layer comes twice."""
    module = make("top_layer").module
    module.layers[0].load_state_dict(encoder.layer[-1].state_dict())
    deeper = BertEncoder(BertConfig(**{**encoder.sizes._asdict(), "num_hidden_layers": 5})).eval()
    state = encoder.state_dict()
    for name, tensor in encoder.layer[-1].state_dict().items():
        state[f"layer.4.{name}"] = tensor
    deeper.load_state_dict(state)
    found = encoder(batch, TaskSites([module], batch.context), want=WANT)
    wanted = deeper(batch, want=WANT)
    assert torch.equal(found.layers[-1], wanted.layers[-1])
    assert torch.equal(found.pooled_RH, wanted.pooled_RH)
    assert len(found.layers) == 5  # the encoder's own: the last is replaced


def test_several_layers_are_apart(make) -> None:
    module = make("top_layer", num_layers=2).module
    first, second = (layer.attention.dense.weight for layer in module.layers)
    assert not torch.equal(first, second)


def test_names_in_bert_n_pals(make) -> None:
    built = make("top_attention", bottleneck_size=12)
    rows = {row.canonical: row for row in built.spec.names(*built.about)}
    there = "encoder.multi_layers.{task}.5"
    assert rows["blocks.5.key.bias"].stored == {"bert_n_pals": f"{there}.self.key.bias"}
    assert rows["blocks.5.key.bias"].fused == ("blocks.5.qkv.bias", 1)
    assert rows["blocks.5.norm.weight"].stored == {
        "bert_n_pals": f"{there}.output.LayerNorm.weight"
    }
    assert rows["up.weight"].stored == {"bert_n_pals": "encoder.mult_dense2.{task}.weight"}
    built = make("top_layer")
    rows = {row.canonical: row for row in built.spec.names(*built.about)}
    row = rows["layers.0.attention.value.weight"]
    assert row.stored == {"bert_n_pals": "encoder.multi_layers.{task}.attention.self.value.weight"}
    assert row.fused == ("layers.0.attention.qkv.weight", 2)
    assert rows["layers.0.ffn.norm.bias"].norm
    two = make("top_layer", num_layers=2)
    assert all(row.stored == {} for row in two.spec.names(*two.about))


def test_problems(encoder) -> None:
    (problem,) = check_attention(TopAttentionConfig(bottleneck_size=18), encoder.shape, ())
    assert problem == Problem(
        "num_heads",
        "12 heads do not divide bottleneck_size 18",
        ("accepted: 1, 2, 3, 6, 9, 18", "or a bottleneck_size of 12 or 24"),
    )
    bare = replace(encoder.shape, layer_names=())
    assert check_layer(TopLayerConfig(), bare, ()) == (
        Problem(
            "",
            "the encoder does not say what a layer of it consists of, so none can be put on top",
            ("accepted: encoders whose shape has layer_names, such as bert",),
        ),
    )
