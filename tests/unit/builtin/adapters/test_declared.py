"""What an adapter declares without a tensor is what its module has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertmod.builtin.adapters.plugin import bertmod_adapters
from bertmod.model.canonical import canonical_views
from bertmod.nn.context import RowContext

BOTH = ["attention_output", "ffn_output"]
CASES = [
    ("pals", {"bottleneck_size": 12}),
    ("pals", {"bottleneck_size": 12, "site": "ffn_output"}),
    ("low_rank", {}),
    ("low_rank", {"bottleneck_size": 5, "hidden_act": "relu"}),
    ("low_rank", {"bottleneck_size": 5, "site": "ffn_activation"}),
    ("low_rank", {"bottleneck_size": 5, "site": "encoder_output"}),
    ("bottleneck", {}),
    ("bottleneck", {"bottleneck_size": 5, "parallel": ["ffn_output"], "init_scale": None}),
    ("bottleneck", {"sites": ["embedding_output"], "layer_norms": ["output_norm"]}),
    ("bottleneck", {"sites": [], "layer_norms": ["attention_norm", "output_norm"]}),
    ("lhuc", {}),
    ("lhuc", {"site": "layer_residual"}),
    ("lhuc", {"site": "ffn_up"}),
    ("lhuc", {"site": "encoder_output"}),
    ("top_attention", {"bottleneck_size": 36}),
    ("top_attention", {"bottleneck_size": 8, "num_blocks": 2, "num_heads": 4}),
    ("top_layer", {}),
    ("top_layer", {"num_layers": 2}),
]
ENDS = {"embedding_output", "encoder_output"}


@pytest.mark.parametrize(("name", "options"), CASES)
def test_counts_names_and_sites_are_those_of_the_module(make, name, options) -> None:
    built = make(name, **options)
    assert built.spec.check(*built.about) == ()
    counted = sum(p.numel() for p in built.module.parameters())
    assert counted == built.spec.num_parameters(*built.about)
    rows = built.spec.names(*built.about)
    views = canonical_views(built.module, rows)
    assert [tuple(view.shape) for view in views.values()] == [row.shape for row in rows]
    assert len(views) == len(rows)
    assert built.module.sites == built.spec.sites(*built.about)
    for site, layers in built.module.sites.items():
        assert layers == ((0,) if site in ENDS else (1, 3))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_x_and_y_are_not_written_to(make, encoder, name, options) -> None:
    module, context = make(name, **options).module, RowContext.of(np.array([3, 2]))
    for site, layers in module.sites.items():
        about = encoder.shape.sites[site]
        x, y = torch.randn(5, about.in_width), torch.randn(5, about.out_width)
        kept = x.clone(), y.clone()
        for layer in layers:
            assert module(site, layer, x, y, context).shape == y.shape
        assert torch.equal(x, kept[0])
        assert torch.equal(y, kept[1])


@pytest.mark.parametrize("spec", list(bertmod_adapters()), ids=lambda spec: spec.name)
def test_options(spec) -> None:
    config = spec.config()
    assert spec.config.model_validate_json(config.model_dump_json()) == config
    assert all(field.description for field in spec.config.model_fields.values())
    assert not set(spec.config.model_fields) & {"name", *spec.slot_keys}
    assert spec.summary
    assert spec.source


def test_who_needs_something_to_change(encoder) -> None:
    needs = {
        spec.name: spec.needs_output(spec.config(), encoder.shape) for spec in bertmod_adapters()
    }
    assert needs.pop("lhuc") == frozenset({"layer_output"})
    assert set(needs.values()) == {frozenset()}
