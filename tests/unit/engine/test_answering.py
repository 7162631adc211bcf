"""Answers of a model whose encoder was made ready for many rows, beside the plain model's."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from bertmod.data.features import FeatureTable
from bertmod.engine.answering import answering_model
from bertmod.engine.batches import batches_by_length, mixed_batches
from bertmod.engine.evaluate import EvaluationSettings, decode, decode_mixed
from bertmod.library import build_adapter, build_encoder, build_head
from bertmod.model.multitask import MultiTaskModel
from bertmod.nn.packed import PackedLinear, can_pack

CPU = torch.device("cpu")
PRECISIONS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(not can_pack(CPU, dtype), reason=f"this CPU packs no {name}"),
    )
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
]


@pytest.fixture
def model() -> MultiTaskModel:
    """Two tasks with adapters at projection, delta and norm sites, far from their beginnings."""
    torch.manual_seed(0)
    encoder = build_encoder(
        "bert",
        hidden_size=48,
        num_attention_heads=4,
        intermediate_size=96,
        num_hidden_layers=2,
        vocab_size=60,
        max_position_embeddings=40,
    )
    adapters = {
        "a": {"pals": build_adapter(encoder, "a", "pals", bottleneck_size=12)},
        "b": {"bottleneck": build_adapter(encoder, "b", "bottleneck", bottleneck_size=8)},
    }
    heads = {
        task: build_head(encoder, task, "classification", labels=("0", "1", "2"))
        for task in adapters
    }
    model = MultiTaskModel(encoder, adapters, heads)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def features(count: int, seed: int = 0) -> FeatureTable:
    """Rows of 2 to 40 random tokens."""
    draws = np.random.default_rng(seed)
    bounds = np.concatenate([[0], np.cumsum(draws.integers(2, 41, count))])
    return FeatureTable(
        example=np.arange(count),
        row_bounds=np.arange(count + 1),
        token_bounds=bounds,
        tokens={
            "input_ids": draws.integers(0, 60, bounds[-1]).astype(np.int32),
            "token_type_ids": draws.integers(0, 2, bounds[-1]).astype(np.uint8),
        },
    )


def answers(model: MultiTaskModel, task: str, table: FeatureTable, **settings) -> np.ndarray:
    """Probabilities of every row, (rows, classes)."""
    decoded = decode(model, task, table, settings=EvaluationSettings(**settings))
    return np.stack([each["probabilities"] for each in decoded])


@pytest.mark.parametrize("task", ["a", "b"])
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_fp32_is_the_plain_one_s(model: MultiTaskModel, task: str, layout: str) -> None:
    table = features(150)
    plain = answers(model, task, table, fast=False, layout=layout)
    np.testing.assert_allclose(answers(model, task, table, layout=layout), plain, atol=1e-5)
    assert np.ptp(plain, axis=0).max() > 0.01  # rows differ, so that a mixed-up order would show


@pytest.mark.parametrize("task", ["a", "b"])
def test_bf16_is_as_near_to_fp64_as_the_plain_one(model: MultiTaskModel, task: str) -> None:
    table = features(150)
    plain = answers(model, task, table, precision="bf16", fast=False)
    fast = answers(model, task, table, precision="bf16")
    exact = answers(model.double(), task, table, fast=False)
    errors = [np.sqrt(np.square(found - exact).mean()) for found in (plain, fast)]
    assert errors[1] < 1.5 * errors[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_mixed_rows_are_those_of_each_task(model: MultiTaskModel, precision: str) -> None:
    tables = {"a": features(70), "b": features(90, seed=1)}
    settings = EvaluationSettings(precision=precision)
    mixed = decode_mixed(model, tables, settings=settings)
    for task, table in tables.items():
        found = np.stack([each["probabilities"] for each in mixed[task]])
        alone = answers(model, task, table, precision="fp32", fast=False)
        np.testing.assert_allclose(found, alone, atol=1e-5 if precision == "fp32" else 0.03)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_are_converted_once_and_shared(model: MultiTaskModel, precision: str) -> None:
    ready = answering_model(model, precision)
    assert any(isinstance(each, PackedLinear) for each in ready.encoder.modules())
    assert not any(isinstance(each, PackedLinear) for each in model.modules())
    own = {parameter.data_ptr() for parameter in model.parameters()}
    assert {parameter.data_ptr() for parameter in ready.parameters()} == own
    assert ready.heads is model.heads
    assert ready.adapters is model.adapters
    assert answering_model(ready, precision) is ready


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_was_learnt_since_is_answered_with(model: MultiTaskModel, precision: str) -> None:
    table = features(150)
    before = answers(model, "a", table, precision=precision)
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.data.mul_(1.5)  # which tensors do not count as a change of theirs
    after = answers(model, "a", table, precision=precision)
    plain = answers(model, "a", table, precision=precision, fast=False)
    assert np.abs(after - before).max() > 0.01
    np.testing.assert_allclose(after, plain, atol=0.03)


def test_a_ready_model_still_has_gradients(model: MultiTaskModel) -> None:
    for each in answering_model(model, "fp32").encoder.modules():
        if isinstance(each, PackedLinear):
            each(torch.ones(2, each.layer.in_features)).sum().backward()
            assert each.weight.grad is not None
            assert each.weight is each.layer.weight


def test_the_mode_of_a_model_is_put_back(model: MultiTaskModel) -> None:
    model.train()
    answers(model, "a", features(150), precision="bf16")
    assert all(module.training for module in model.modules())


def test_batches_have_few_tokens() -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 300)
    batches = list(batches_by_length(lengths, 64, 256))
    assert sorted(np.concatenate(batches).tolist()) == list(range(300))
    for batch in batches:
        assert len(batch) * lengths[batch].max() <= 256
        assert len(batch) <= 64
    longest = [int(lengths[batch].max()) for batch in batches]
    assert all(one >= two for one, two in pairwise(longest))


def test_one_row_may_be_longer_than_a_batch() -> None:
    assert [len(batch) for batch in batches_by_length(np.array([5, 900, 700]), 8, 10)] == [1, 1, 1]


def test_mixed_batches_have_few_tokens() -> None:
    tasks, lengths = np.repeat([0, 1], 40), np.full(80, 30)
    batches = list(mixed_batches(tasks, lengths, 64, most_tokens=300))
    assert [len(batch) for batch in batches] == [10] * 8
    assert sorted(np.concatenate(batches).tolist()) == list(range(80))
