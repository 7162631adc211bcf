"""Forwards that leave out hidden states which nobody wants, beside whole ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertmod.data.collate import collate
from bertmod.data.features import Column, FeatureTable
from bertmod.library import build_adapter, build_encoder, build_head
from bertmod.model.multitask import MultiTaskModel

POOLED = frozenset({"pooled"})
ADAPTERS = {
    "none": {},
    "pals": {"bottleneck_size": 12},
    "low_rank": {"bottleneck_size": 8},
    "bottleneck": {"bottleneck_size": 8, "layer_norms": ("attention_norm", "output_norm")},
    "lhuc": {},
    "top_layer": {},
}
MIXES_TOKENS_AT_THE_END = {"top_layer"}


def model(adapter: str, *, tasks: tuple[str, ...] = ("a",), dropout: float = 0.0) -> MultiTaskModel:
    """Three layers, and for each task an adapter far from its beginnings."""
    torch.manual_seed(0)
    encoder = build_encoder(
        "bert",
        hidden_size=48,
        num_attention_heads=4,
        intermediate_size=96,
        num_hidden_layers=3,
        vocab_size=60,
        max_position_embeddings=40,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    adapters = {}
    for task in tasks:
        if adapter != "none":
            adapters[task] = {adapter: build_adapter(encoder, task, adapter, **ADAPTERS[adapter])}
    heads = {
        task: build_head(encoder, task, "classification", labels=("0", "1", "2")) for task in tasks
    }
    made = MultiTaskModel(encoder, adapters, heads)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return made.eval()


def features(count: int = 12) -> FeatureTable:
    """Rows of 1 to 40 random tokens."""
    draws = np.random.default_rng(0)
    bounds = np.concatenate([[0], np.cumsum(draws.integers(1, 41, count))])
    return FeatureTable(
        example=np.arange(count),
        row_bounds=np.arange(count + 1),
        token_bounds=bounds,
        tokens={"input_ids": draws.integers(0, 60, bounds[-1]).astype(np.int32)},
        targets={"labels": Column(draws.integers(0, 3, count))},
    )


def losses_and_gradients(made: MultiTaskModel, **options) -> tuple[torch.Tensor, dict]:
    """Loss and every gradient of a batch."""
    made.zero_grad()
    value, _ = next(iter(made(collate(features(), **options), "a").losses.values()))
    value.backward()
    found = {name: p.grad.clone() for name, p in made.named_parameters() if p.grad is not None}
    return value.detach(), found


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_loss_and_gradients_are_those_of_the_whole(adapter, layout, fast) -> None:
    made = model(adapter)
    options = {"layout": layout, "fast": fast}
    whole, gradients = losses_and_gradients(made, **options)
    trimmed, others = losses_and_gradients(made, trim=True, **options)
    assert abs(float(whole - trimmed)) <= 1e-5 * float(whole)
    assert gradients.keys() == others.keys()
    for name, gradient in gradients.items():
        scale = max(1.0, float(gradient.abs().max()))
        assert float((gradient - others[name]).abs().max()) <= 1e-5 * scale, name


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_only_first_tokens_go_through_the_last_layer(adapter) -> None:
    """Unless an adapter there wants the others."""
    made = model(adapter)
    seen = []
    made.encoder.layer[-1].ffn.up.register_forward_hook(
        lambda layer, given, y: seen.append(len(given[0]))
    )
    batch = collate(features(), trim=True)
    output = made.encode(batch, "a", want=POOLED)
    trims = adapter not in MIXES_TOKENS_AT_THE_END
    tokens = len(batch.input_ids_T)
    assert output.trimmed == trims
    assert len(output.hidden_TH) == (12 if trims else tokens)
    made.encode(collate(features()), "a", want=POOLED)
    made.encode(batch, "a", want=POOLED | {"hidden"})
    made.encode(batch, "a", want=POOLED | {"layers"})
    assert seen == [12 if trims else tokens, tokens, tokens, tokens]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_mixed_batches(adapter) -> None:
    """Every task's answer is the one that it gives alone, in full."""
    made = model(adapter, tasks=("a", "b"))
    tasks = [0] * 5 + [1] * 7
    with torch.no_grad():
        mixed = made.answer(collate(features(), tasks=tasks, trim=True))
        for answer, rows in zip(mixed, (np.arange(5), np.arange(5, 12)), strict=True):
            alone = made(collate(features().take(rows)), answer.task)
            for name, logits in alone.logits.items():
                torch.testing.assert_close(answer.output.logits[name], logits, rtol=0, atol=1e-5)


def test_attention_of_first_tokens_drops_weights() -> None:
    """While training, and only then."""
    made = model("none", dropout=0.4)
    batch = collate(features(), trim=True)
    outputs = [made.encode(batch, "a", want=POOLED).pooled_RH for _ in range(2)]
    assert torch.equal(*outputs)
    context = batch.context
    values = torch.ones(len(batch.input_ids_T), 4, 12)
    off = context.first_attention(values[:12], values, values, dropout=0.4)
    assert torch.allclose(off, torch.ones(12, 4, 12))
    on = context.with_training(True).first_attention(values[:12], values, values, dropout=0.4)
    assert not torch.allclose(on, off)
