"""What the adapters compute, how many parameters they have, how they start."""

from __future__ import annotations

import json
import math

import pytest
import torch

from bertmod.registry import load_registry
from bertmod_lora.options import Ia3Config, LoraConfig, check_ia3, check_lora

REGISTRY = load_registry()
BERT = REGISTRY.get("encoder", "bert").spec
BASE = BERT.shape(BERT.config(size="base"))
ALL = tuple(range(12))


def entries(site: str, batch, encoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Random x and y of a site."""
    tokens, (_, wide_in, wide_out) = len(batch.input_ids_T), encoder.shape.sites[site]
    draw = torch.Generator().manual_seed(1)
    return torch.randn(tokens, wide_in, generator=draw), torch.randn(
        tokens, wide_out, generator=draw
    )


@pytest.mark.parametrize("site", ["query", "ffn_up", "ffn_down"])
@torch.no_grad()
def test_lora_adds_a_scaled_low_rank_product(adapter, encoder, batch, site) -> None:
    lora = adapter("lora", rank=3, alpha=12.0, sites=(site,))
    x, y = entries(site, batch, encoder)
    a, b = lora.a[f"{site}_1"], lora.b[f"{site}_1"]
    expected = y.double() + (12 / 3) * (b.double() @ (a.double() @ x.double().T)).T
    found = lora(site, 1, x, y, batch.context)
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_lora_drops_what_goes_into_it_while_training(adapter, encoder, batch) -> None:
    lora = adapter("lora", dropout=0.5, sites=("value",))
    x, y = entries("value", batch, encoder)
    plain = adapter("lora", sites=("value",))
    plain.load_state_dict(lora.state_dict())
    assert torch.equal(
        lora("value", 0, x, y, batch.context), plain("value", 0, x, y, batch.context)
    )
    training = batch.context.with_training(True)
    torch.manual_seed(5)
    dropped = lora("value", 0, x, y, training)
    torch.manual_seed(5)
    kept = training.dropout(torch.ones_like(x), 0.5)
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    torch.testing.assert_close(dropped, plain("value", 0, x * kept, y, batch.context))


@torch.no_grad()
def test_ia3_scales(adapter, encoder, batch) -> None:
    ia3 = adapter("ia3")
    for site in ("key", "value", "ffn_activation"):
        x, y = entries(site, batch, encoder)
        assert torch.equal(ia3(site, 1, x, y, batch.context), y * ia3.scale[f"{site}_1"])


@pytest.mark.parametrize("name", ["lora", "ia3"])
@torch.no_grad()
def test_they_change_nothing_at_the_start(adapter, encoder, batch, name) -> None:
    made = adapter(name, start=True)
    for site in made.sites:
        x, y = entries(site, batch, encoder)
        assert torch.equal(made(site, 0, x, y, batch.context), y)


def test_how_a_starts(adapter) -> None:
    torch.manual_seed(0)
    kaiming = adapter("lora", start=True, rank=40).a["query_0"]
    assert 0.95 / math.sqrt(24) < kaiming.abs().max() <= 1 / math.sqrt(24)
    normal = adapter("lora", start=True, rank=40, init="normal").a["query_0"]
    assert normal.std().item() == pytest.approx(1 / 40, rel=0.1)


@pytest.mark.parametrize(
    ("name", "options", "layers", "count"),
    [
        ("lora", {}, ALL, 12 * 2 * 8 * (768 + 768)),  # 0.3 million, as in the paper's table 2
        ("lora", {"rank": 4, "sites": ["ffn_up"]}, (0, 11), 2 * 4 * (768 + 3072)),
        ("ia3", {}, ALL, 12 * (768 + 768 + 3072)),
        ("ia3", {"sites": ["layer_output"]}, (3,), 768),
    ],
)
def test_parameter_counts(name, options, layers, count) -> None:
    spec = REGISTRY.get("adapter", name).spec
    config = spec.config.model_validate_json(json.dumps(options))
    assert spec.check(config, BASE, layers) == ()
    assert spec.num_parameters(config, BASE, layers) == count


def test_sites_that_cannot_be() -> None:
    found = check_lora(LoraConfig(sites=("layer_output", "key", "key", "nowhere")), BASE, ALL)
    assert [(problem.path, problem.what, problem.more) for problem in found] == [
        (
            "sites[0]",
            '"layer_output" is a block site, and an update needs a projection',
            ("accepted: query, key, value, attention_dense, ffn_up, ffn_down",),
        ),
        ("sites[2]", '"key" is listed twice', ()),
    ]
    delta, end = check_ia3(Ia3Config(sites=("layer_residual", "encoder_output")), BASE, ALL)
    why = "a scale needs a projection or a block inside the layers"
    assert delta.what == f'"layer_residual" is a delta site, and {why}'
    assert end.what == f'"encoder_output" lies outside the layers, and {why}'
