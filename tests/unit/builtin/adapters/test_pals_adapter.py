"""Projected attention layers: options, what is counted, what is computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertmod import AdapterContext, Problem
from bertmod.builtin.adapters.pals import Pals
from bertmod.builtin.adapters.pals_config import PalsConfig, check, names, num_parameters, sites
from bertmod.builtin.adapters.plugin import bertmod_adapters
from bertmod.builtin.encoders.config import BertConfig, shape
from bertmod.model.canonical import canonical_views
from bertmod.nn.context import RowContext
from bertmod.nn.initialisation import initialise

SHAPE = shape(BertConfig(hidden_size=24, num_hidden_layers=4, intermediate_size=40))
LAYERS = (1, 3)


def build(config: PalsConfig, layers=LAYERS) -> Pals:
    torch.manual_seed(0)
    context = AdapterContext("cola", SHAPE, layers, torch.nn.Identity, lambda *_: (), initialise)
    spec = next(spec for spec in bertmod_adapters() if spec.name == "pals")
    return spec.build(config, context)


OPTIONS = [
    {},
    {"share_projections": False},
    {"site": "ffn_output"},
    {"site": "ffn_activation"},
    {"site": "encoder_output", "share_projections": False},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_counts_names_and_sites_are_those_of_the_module(options) -> None:
    config = PalsConfig(bottleneck_size=12, **options)
    module = build(config)
    counted = sum(p.numel() for p in module.parameters())
    assert counted == num_parameters(config, SHAPE, LAYERS)
    rows = names(config, SHAPE, LAYERS)
    views = canonical_views(module, rows)
    assert [tuple(view.shape) for view in views.values()] == [row.shape for row in rows]
    assert module.sites == sites(config, SHAPE, LAYERS)
    assert module.replaces == frozenset()
    at_end = options.get("site") == "encoder_output"
    assert next(iter(module.sites.values())) == ((0,) if at_end else LAYERS)


def test_what_it_computes() -> None:
    module = build(PalsConfig(bottleneck_size=12, num_heads=3)).eval()
    context = RowContext.of(np.array([4, 2]))
    x = torch.randn(6, 24)
    q, k, v = module.qkv["3"](module.down["shared"](x)).chunk(3, -1)
    rows = []
    for begin, end in ((0, 4), (4, 6)):
        heads = [part[begin:end].view(-1, 3, 4).transpose(0, 1) for part in (q, k, v)]
        weights = (heads[0] @ heads[1].transpose(1, 2) / 2.0).softmax(-1)
        rows.append((weights @ heads[2]).transpose(0, 1).flatten(1))
    wanted = F.gelu(module.up["shared"](torch.cat(rows)))
    found = module("layer_residual", 3, x, None, context)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(module("layer_residual", 3, x, x, context), wanted + x)


def test_x_and_y_are_not_written_to() -> None:
    module = build(PalsConfig(bottleneck_size=12))
    x, y = torch.randn(5, 24), torch.randn(5, 24)
    kept = x.clone(), y.clone()
    module("layer_residual", 1, x, y, RowContext.of(np.array([5])))
    assert torch.equal(x, kept[0])
    assert torch.equal(y, kept[1])


def test_names_in_bert_n_pals() -> None:
    rows = {row.canonical: row for row in names(PalsConfig(), SHAPE, LAYERS)}
    down = rows["down.shared.weight"]
    assert down.shape == (204, 24)
    assert down.stored == {"bert_n_pals": "encoder.mult_aug_dense.{task}.weight"}
    assert down.copies == {
        "bert_n_pals": (
            "encoder.layer.1.multi_layers.{task}.aug_dense.weight",
            "encoder.layer.3.multi_layers.{task}.aug_dense.weight",
        )
    }
    assert rows["key.3.bias"].fused == ("qkv.3.bias", 1)
    apart = names(PalsConfig(share_projections=False), SHAPE, LAYERS)
    assert all(row.stored == {} for row in apart)


def test_problems() -> None:
    assert check(PalsConfig(), SHAPE, LAYERS) == ()
    found = check(PalsConfig(bottleneck_size=20, site="query"), SHAPE, LAYERS)
    assert found == (
        Problem(
            "num_heads",
            "6 heads do not divide bottleneck_size 20",
            ("accepted: 1, 2, 4, 5, 10, 20", "or a bottleneck_size of 18 or 24"),
        ),
        Problem(
            "site",
            '"query" is a projection site, where nothing can be added',
            (
                "accepted: embedding_output, attention_output, ffn_activation, ffn_output, "
                "layer_residual, layer_output, encoder_output",
            ),
        ),
    )
