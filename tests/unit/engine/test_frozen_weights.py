"""Training steps of a model whose frozen weights were converted once, beside the plain model's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertmod.data.collate import collate
from bertmod.data.features import Column, FeatureTable
from bertmod.engine.answering import training_model
from bertmod.engine.precision import autocast
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


@pytest.fixture(params=["pals", "bottleneck", "low_rank", "lora"])
def model(request) -> MultiTaskModel:
    """A frozen encoder with an adapter in each layer."""
    torch.manual_seed(0)
    encoder = build_encoder(
        "bert",
        hidden_size=48,
        num_attention_heads=4,
        intermediate_size=96,
        num_hidden_layers=3,
        vocab_size=60,
        max_position_embeddings=40,
    )
    size = {"rank": 4} if request.param == "lora" else {"bottleneck_size": 12}
    if request.param == "lora":
        pytest.importorskip("bertmod_lora")
    adapters = {"a": {request.param: build_adapter(encoder, "a", request.param, **size)}}
    head = build_head(encoder, "a", "classification", labels=("0", "1", "2"))
    model = MultiTaskModel(encoder, adapters, {"a": head})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    encoder.requires_grad_(False)
    return model.eval()


def features() -> FeatureTable:
    """Twelve rows of random tokens."""
    draws = np.random.default_rng(0)
    bounds = np.concatenate([[0], np.cumsum(draws.integers(2, 41, 12))])
    return FeatureTable(
        example=np.arange(12),
        row_bounds=np.arange(13),
        token_bounds=bounds,
        tokens={"input_ids": draws.integers(0, 60, bounds[-1]).astype(np.int32)},
        targets={"labels": Column(draws.integers(0, 3, 12))},
    )


def gradients(model: MultiTaskModel, precision: str = "fp32") -> dict[str, torch.Tensor]:
    """Gradient of everything that trains."""
    dtype = next(model.parameters()).dtype
    model.zero_grad()
    with autocast(precision, CPU):
        value, _ = next(iter(model(collate(features()), "a").losses.values()))
    value.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert found
    assert all(each.dtype == dtype for each in found.values())
    return found


def layers(model: MultiTaskModel) -> int:
    """How many linear layers of its encoder are converted."""
    return sum(isinstance(each, PackedLinear) for each in model.encoder.modules())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_are_those_of_the_plain_model(model, precision) -> None:
    """fp32 to 1e-5; bf16 as near to fp64 as the plain path is."""
    fast = training_model(model, precision)
    assert layers(fast) == 3 * 4 + 1
    assert layers(model) == 0
    plain, own = gradients(model, precision), gradients(fast, precision)
    assert plain.keys() == {name.replace(".layer.layer.", ".layer.") for name in own}
    exact = gradients(model.double())
    model.float()

    def error(found: dict[str, torch.Tensor]) -> float:
        squares = [
            (found[n].double() - g).square().sum() / g.square().sum() for n, g in exact.items()
        ]
        return float(torch.stack(squares).mean().sqrt())

    assert 0 < error(own) <= {"fp32": 1e-5, "bf16": 1.25 * error(plain)}[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_that_are_loaded_later_count(model, precision) -> None:
    fast = training_model(model, precision)
    before = gradients(fast, precision)
    model.load_state_dict({name: 1.5 * value for name, value in model.state_dict().items()})
    after = gradients(fast, precision)
    fresh = gradients(training_model(model, precision), precision)
    assert any(not torch.equal(before[name], value) for name, value in after.items())
    assert all(torch.equal(fresh[name], value) for name, value in after.items())


@pytest.mark.skipif(not can_pack(CPU, torch.float32), reason="this CPU packs no fp32")
def test_layers_that_train_stay_plain(model) -> None:
    """The last of three layers trains: four linear layers."""
    model.encoder.layer[2].requires_grad_(True)
    fast = training_model(model, "fp32")
    assert layers(fast) == 2 * 4 + 1
    plain, own = gradients(model), gradients(fast)
    assert any("layer.2.ffn.up" in name for name in own)
    for name, value in plain.items():
        assert torch.allclose(
            value, own[name], rtol=0, atol=1e-5 * max(1, float(value.abs().max()))
        )


def test_a_model_that_trains_is_itself(model) -> None:
    model.encoder.requires_grad_(True)
    assert training_model(model, "fp32") is model
    model.encoder.requires_grad_(False)
    assert training_model(model, "fp16") is model


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_that_learnt_in_between_count(precision) -> None:
    """torch's fused optimizers change them without a word."""
    layer = torch.nn.Linear(6, 5).requires_grad_(False)
    one = PackedLinear(layer, {"fp32": torch.float32, "bf16": torch.bfloat16}[precision])
    x = torch.ones(3, 6, requires_grad=True)
    one(x)
    layer.requires_grad_(True)
    one(x).float().sum().backward()
    torch.optim.AdamW(layer.parameters(), lr=0.5, fused=True).step()
    layer.requires_grad_(False)
    assert torch.allclose(one(x).float(), layer(x), atol=0.05)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_weights_that_are_replaced_count(precision) -> None:
    layer = torch.nn.Linear(6, 5).requires_grad_(False)
    one = PackedLinear(layer, {"fp32": torch.float32, "bf16": torch.bfloat16}[precision])
    x = torch.ones(3, 6)
    for scale in (2.0, 3.0):
        state = {name: torch.full_like(value, scale) for name, value in layer.state_dict().items()}
        layer.load_state_dict(state, assign=True)
        assert torch.allclose(one(x).float(), layer(x))


@pytest.mark.skipif(not can_pack(CPU, torch.float32), reason="this CPU packs no fp32")
def test_a_layer_that_is_hooked_into_stays_plain(model) -> None:
    hooked = model.encoder.layer[0].ffn.down
    hooked.register_forward_hook(lambda layer, given, y: 2 * y)
    fast = training_model(model, "fp32")
    assert fast.encoder.layer[0].ffn.down is hooked
    assert layers(fast) == 3 * 4
