"""What an adapter meets at each site of the encoder, and what becomes of its answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bertmod import Batch
from bertmod.builtin.encoders.modules import BertEncoder
from bertmod.builtin.encoders.plugin import BertConfig
from bertmod.model.sites import TaskSites
from bertmod.nn.context import RowContext
from bertmod.nn.sites import NO_SITES, visit

WANT = frozenset({"layers", "pooled"})
CONFIG = BertConfig(
    vocab_size=31,
    hidden_size=12,
    num_hidden_layers=3,
    num_attention_heads=3,
    intermediate_size=20,
    max_position_embeddings=16,
)
SITES = BertEncoder(CONFIG).shape.sites


class Recorder(torch.nn.Module):
    """Acts everywhere, keeps what it sees, and answers y times ``factor`` (or x at a delta)."""

    replaces: frozenset[tuple[str, int]] = frozenset()

    def __init__(self, sites=None, factor: float = 1.0) -> None:
        super().__init__()
        ends = {"embedding_output": (0,), "encoder_output": (0,)}
        self.sites = sites or {site: ends.get(site, (0, 1, 2)) for site in SITES}
        self.factor = factor
        self.seen: dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor | None]] = {}

    def forward(self, site, layer, x_TI, y_TO, context):
        assert (site, layer) not in self.seen
        self.seen[site, layer] = (x_TI, y_TO)
        return x_TI * self.factor if y_TO is None else y_TO * self.factor


@pytest.fixture
def encoder() -> BertEncoder:
    torch.manual_seed(0)
    module = BertEncoder(CONFIG).eval()
    with torch.no_grad():
        for parameter in module.parameters():  # nothing stays 0 or 1
            parameter.normal_(0, 0.3)
    return module


@pytest.fixture(params=["packed", "padded"])
def batch(request) -> Batch:
    lengths = np.array([5, 3, 7])
    context = RowContext.of(lengths, layout=request.param)
    count = len(context.position_of_token_T)
    ids = torch.randint(0, 31, (count,), generator=torch.Generator().manual_seed(1))
    return Batch(ids, ids % 2, torch.arange(3), {}, context)


def run(encoder, batch, adapter, want=WANT):
    with torch.no_grad():
        return encoder(batch, TaskSites([adapter], batch.context), want=want)


def test_every_site_is_met_once_in_every_layer(encoder, batch) -> None:
    recorder = Recorder()
    run(encoder, batch, recorder)
    assert len(recorder.seen) == 2 + 3 * (len(SITES) - 2)
    for (site, _), (x, y) in recorder.seen.items():
        assert x.shape[-1] == SITES[site].in_width
        assert y is None or y.shape == (len(x), SITES[site].out_width)
        assert (y is None) == (SITES[site].kind == "delta")


def test_the_shape_lists_them_in_the_order_of_the_calls(encoder, batch) -> None:
    recorder = Recorder()
    run(encoder, batch, recorder)
    assert list(dict.fromkeys(site for site, _ in recorder.seen)) == list(SITES)


@torch.no_grad()
def test_x_and_y_mean_what_the_contract_says(encoder, batch) -> None:
    everywhere = Recorder().sites
    recorder = Recorder({site: at for site, at in everywhere.items() if site != "layer_residual"})
    output = run(encoder, batch, recorder)
    context, words = batch.context, encoder.embeddings

    def same(site, layer, x, y) -> None:
        seen_x, seen_y = recorder.seen[site, layer]
        torch.testing.assert_close(seen_x, x, rtol=1e-6, atol=1e-6, msg=f"x of {site}")
        torch.testing.assert_close(seen_y, y, rtol=1e-6, atol=1e-6, msg=f"y of {site}")

    total = words.word_embeddings(batch.input_ids_T)
    total = total + words.position_embeddings(context.position_of_token_T)
    total = total + words.token_type_embeddings(batch.token_type_ids_T)
    hidden = words.norm(total)
    same("embedding_output", 0, total, hidden)
    assert torch.equal(output.layers[0], hidden)
    for layer, block in enumerate(encoder.layer):
        x, attention, ffn = hidden, block.attention, block.ffn
        parts = attention.qkv(x).chunk(3, -1)
        for site, y in zip(("query", "key", "value"), parts, strict=True):
            same(site, layer, x, y)
            weight, bias = encoder.projection(site, layer)
            same(site, layer, x, x @ weight.t() + bias)
        q, k, v = (part.view(-1, 3, 4) for part in parts)
        mixed = context.attention(q, k, v, dropout=0.0).flatten(-2)
        dense = attention.dense(mixed)
        same("attention_dense", layer, mixed, dense)
        same("attention_output", layer, x, dense)
        same("attention_norm", layer, dense + x, attention.norm(dense + x))
        attended = attention.norm(dense + x)
        up = ffn.up(attended)
        act = torch.nn.functional.gelu(up)
        down = ffn.down(act)
        same("ffn_up", layer, attended, up)
        same("ffn_activation", layer, up, act)
        same("ffn_down", layer, act, down)
        same("ffn_output", layer, attended, down)
        same("output_norm", layer, down + attended, ffn.norm(down + attended))
        hidden = ffn.norm(down + attended)
        same("layer_output", layer, x, hidden)
    same("encoder_output", 0, output.layers[0], hidden)
    assert output.layers[-1] is output.hidden_TH


def test_a_delta_joins_the_last_residual(encoder, batch) -> None:
    recorder = Recorder({"layer_residual": (1,), "output_norm": (1,), "layer_output": (1,)})
    run(encoder, batch, recorder)
    plain = Recorder({"output_norm": (1,)})
    run(encoder, batch, plain)
    layer_input, nothing = recorder.seen["layer_residual", 1]
    assert nothing is None
    assert torch.equal(layer_input, recorder.seen["layer_output", 1][0])
    without = plain.seen["output_norm", 1][0]
    torch.testing.assert_close(recorder.seen["output_norm", 1][0], without + layer_input)


@pytest.mark.parametrize("site", SITES)
def test_an_answer_changes_what_follows(encoder, batch, site) -> None:
    plain = encoder(batch, want=WANT).hidden_TH
    changed = run(encoder, batch, Recorder({site: (0,)}, factor=1.5)).hidden_TH
    assert changed.shape == plain.shape
    assert not torch.allclose(plain, changed, atol=1e-4)


def test_the_last_layer_is_what_encoder_output_left(encoder, batch) -> None:
    output = run(encoder, batch, Recorder({"encoder_output": (0,)}, factor=2.0))
    plain = encoder(batch, want=WANT)
    torch.testing.assert_close(output.layers[-1], 2 * plain.layers[-1])
    torch.testing.assert_close(output.layers[:-1], plain.layers[:-1])


class _Count(TorchDispatchMode):
    """Counts the operations that torch carries out."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operations.append(str(func))
        return func(*args, **(kwargs or {}))


def test_a_site_nobody_uses_costs_nothing(encoder, batch) -> None:
    with torch.no_grad():
        encoder(batch, want=WANT)  # the context computes its index tensors once
        with _Count() as bare:
            plain = encoder(batch, NO_SITES, want=WANT)
        with _Count() as idle:
            sites = TaskSites([Recorder({"query": ()})], batch.context)
            other = encoder(batch, sites, want=WANT)
    assert bare.operations == idle.operations
    assert torch.equal(plain.hidden_TH, other.hidden_TH)
    # Nothing is added for a delta: two sums of embeddings, two residuals in each layer.
    assert sum("aten.add.Tensor" in each for each in bare.operations) == 2 + 3 * 2


def test_calling_where_nobody_acts_is_an_error() -> None:
    with pytest.raises(ValueError, match='no adapter acts at site "query" of layer 2'):
        NO_SITES("query", 2, torch.zeros(1), None)
    y = torch.ones(1)
    assert visit(NO_SITES, "query", 0, x_TI=y, y_TO=y) is y
