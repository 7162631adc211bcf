"""Options, outputs and bookkeeping of the encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertmod import Batch, EncoderContext, Problem
from bertmod.builtin.encoders.config import check, complete, dimensions, may_state, shape
from bertmod.builtin.encoders.modules import BertEncoder
from bertmod.builtin.encoders.names import names
from bertmod.builtin.encoders.plugin import BertConfig, bertmod_encoders
from bertmod.model.canonical import canonical_views
from bertmod.nn.context import RowContext
from bertmod.nn.initialisation import initialise

SMALL = BertConfig(vocab_size=31, hidden_size=12, num_attention_heads=3, max_position_embeddings=16)


def batch(lengths=(5, 3), layout="packed", **kwargs) -> Batch:
    context = RowContext.of(np.array(lengths), layout=layout, **kwargs)
    count = len(context.position_of_token_T)
    ids = torch.arange(count) % 31
    return Batch(ids, None, torch.arange(len(lengths)), {}, context)


def test_sizes_fill_what_is_not_stated() -> None:
    tiny = dimensions(BertConfig())
    assert (tiny.num_hidden_layers, tiny.hidden_size, tiny.num_attention_heads) == (2, 128, 2)
    assert (tiny.intermediate_size, tiny.vocab_size) == (512, 30522)
    base = dimensions(BertConfig(size="base", num_hidden_layers=6, hidden_act="relu"))
    assert (base.num_hidden_layers, base.hidden_size, base.hidden_act) == (6, 768, "relu")
    free = dimensions(BertConfig(hidden_size=320))
    assert (free.num_attention_heads, free.intermediate_size) == (5, 1280)


def test_completing_twice_changes_nothing() -> None:
    once = complete(BertConfig(size="mini", num_hidden_layers=3))
    assert complete(once) == once
    assert BertConfig.model_validate_json(once.model_dump_json()) == once
    assert (once.size, once.num_hidden_layers, once.hidden_dropout_prob) == ("mini", 3, 0.1)


def test_heads_must_divide_the_width() -> None:
    assert check(SMALL) == ()
    assert check(BertConfig(hidden_size=12, num_attention_heads=5)) == (
        Problem(
            "num_attention_heads",
            "5 heads do not divide hidden_size 12",
            ("accepted: 1, 2, 3, 4, 6, 12",),
        ),
    )
    (problem,) = check(BertConfig(hidden_size=200))
    assert (
        problem.what == "3 heads do not divide hidden_size 200 (null means one head per 64 units)"
    )


def test_what_a_recipe_may_state_beside_a_checkpoint() -> None:
    assert may_state("hidden_dropout_prob", 0.0, 0.1)
    assert may_state("hidden_act", "gelu_tanh", "gelu")
    assert not may_state("hidden_act", "gelu", "gelu_tanh")
    assert not may_state("num_hidden_layers", 6, 12)


def test_the_spec_knows_the_module() -> None:
    (spec,) = bertmod_encoders()
    module = spec.build(SMALL, EncoderContext(initialise))
    views = canonical_views(module, spec.names(SMALL))
    assert [tuple(view.shape) for view in views.values()] == [row.shape for row in names(SMALL)]
    assert spec.shape(SMALL) == module.shape == shape(SMALL)
    assert spec.initializer_range(BertConfig(initializer_range=0.5)) == 0.5


def test_writing_into_a_view_of_the_fused_matrix() -> None:
    module = BertEncoder(SMALL)
    views = canonical_views(module, names(SMALL))
    views["layer.1.attention.key.weight"].fill_(7.0)
    assert (module.layer[1].attention.qkv.weight[12:24] == 7.0).all()
    assert (module.projection("key", 1)[0] == 7.0).all()
    assert not (module.projection("query", 1)[0] == 7.0).any()


def test_parts_come_only_when_wanted() -> None:
    module = BertEncoder(SMALL)
    bare = module(batch(), want=frozenset({"hidden"}))
    assert (bare.pooled_RH, bare.layers, bare.word_embeddings_VH) == (None, None, None)
    full = module(batch(), want=frozenset({"layers", "pooled", "word_embeddings"}))
    assert full.pooled_RH.shape == (2, 12)
    assert [tuple(layer.shape) for layer in full.layers] == [(8, 12)] * 3
    assert full.word_embeddings_VH is module.embeddings.word_embeddings.weight


@pytest.mark.parametrize("want", [frozenset({"hidden"}), frozenset({"pooled"})])
def test_active_parameters_get_gradients(want) -> None:
    module = BertEncoder(SMALL)
    output = module(batch(), want=want)
    total = output.hidden_TH.sum() if output.pooled_RH is None else output.pooled_RH.sum()
    total.backward()
    found = {name for name, p in module.named_parameters() if p.grad is not None}
    assert found == module.active(want)
    assert ("pooler.dense.weight" in found) == ("pooled" in want)


def test_depth_counts_from_the_input() -> None:
    module = BertEncoder(SMALL)
    depths = {name: module.depth(name) for name, _ in module.named_parameters()}
    assert depths["embeddings.norm.bias"] == 0
    assert depths["layer.0.attention.qkv.weight"] == 1
    assert depths["layer.1.ffn.norm.weight"] == 2
    assert depths["pooler.dense.bias"] == 3


def test_projection_and_norm_refuse_other_sites() -> None:
    module = BertEncoder(SMALL)
    assert module.projection("ffn_down", 0)[0].shape == (12, 48)
    assert module.norm("attention_norm", 1)[0] is module.layer[1].attention.norm.weight
    with pytest.raises(ValueError, match='"output_norm" is not a projection site'):
        module.projection("output_norm", 0)
    with pytest.raises(ValueError, match='"query" is not a norm site of this encoder; there are'):
        module.norm("query", 0)


def test_a_new_layer_is_called_with_a_context_alone() -> None:
    started = []
    module = BertEncoder(SMALL, EncoderContext(started.append))
    layer = module.new_layer()
    assert started == [module, layer]
    rows = batch()
    hidden = module(rows, want=frozenset({"hidden"})).hidden_TH
    assert layer(hidden, rows.context).shape == hidden.shape


def test_packed_and_padded_rows_agree() -> None:
    module = BertEncoder(SMALL).eval()
    want = frozenset({"pooled"})
    packed = module(batch(), want=want)
    padded = batch(layout="padded", length=6)
    ids = torch.zeros(12, dtype=torch.int64)
    real = padded.context.position_of_token_T < padded.context.lengths_R.repeat_interleave(6)
    ids[real] = batch().input_ids_T
    output = module(Batch(ids, None, torch.arange(2), {}, padded.context), want=want)
    torch.testing.assert_close(output.hidden_TH[real], packed.hidden_TH, rtol=0, atol=1e-6)
    torch.testing.assert_close(output.pooled_RH, packed.pooled_RH, rtol=0, atol=1e-6)


def test_dropout_follows_the_context() -> None:
    module = BertEncoder(SMALL)
    want = frozenset({"hidden"})
    quiet, noisy = batch(), batch(training=True)
    assert torch.equal(module(quiet, want=want).hidden_TH, module(quiet, want=want).hidden_TH)
    assert not torch.equal(module(noisy, want=want).hidden_TH, module(quiet, want=want).hidden_TH)


def test_bf16_is_autocast_over_fp32_parameters() -> None:
    module, want = BertEncoder(SMALL), frozenset({"pooled"})
    exact = module(batch(), want=want).pooled_RH
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = module(batch(), want=want).pooled_RH
    rough.float().sum().backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in module.parameters())
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.05)


@torch.no_grad()
def test_initial_values() -> None:
    torch.manual_seed(0)
    module = BertEncoder(BertConfig(vocab_size=500, initializer_range=0.1))
    assert abs(float(module.embeddings.word_embeddings.weight.std()) - 0.1) < 0.01
    assert (module.layer[0].attention.qkv.bias == 0).all()
    assert (module.layer[0].ffn.norm.weight == 1).all()
    initialise(module, std=0.02, layer_norm="normal")
    gain = module.layer[0].ffn.norm.weight
    assert 0.01 < float(gain.std()) < 0.03
    assert abs(float(gain.mean())) < 0.01
    assert float(module.layer[0].ffn.norm.bias.std()) > 0.01
