"""Learned hidden unit contributions: what is computed and what they are called."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertmod.model.sites import TaskSites
from bertmod.nn.context import RowContext

CONTEXT = RowContext.of(np.array([3, 2]))
WANT = frozenset({"layers", "pooled"})


def test_what_it_computes(make) -> None:
    module = make("lhuc").module
    with torch.no_grad():
        module.scale["3"].normal_()
    x, y = torch.randn(5, 24), torch.randn(5, 24)
    wanted = y * 2.0 / (1.0 + torch.exp(-module.scale["3"]))
    torch.testing.assert_close(module("layer_output", 3, x, y, CONTEXT), wanted)


def test_nothing_changes_at_the_start(make, encoder, batch) -> None:
    plain = encoder(batch, want=WANT)
    sites = TaskSites([make("lhuc").module], batch.context)
    scaled = encoder(batch, sites, want=WANT)
    assert torch.equal(scaled.pooled_RH, plain.pooled_RH)
    assert all(torch.equal(a, b) for a, b in zip(scaled.layers, plain.layers, strict=True))


def test_at_a_delta_site_it_scales_what_was_added_before(make, encoder, batch) -> None:
    lhuc = make("lhuc", site="layer_residual").module
    with torch.no_grad():
        for scale in lhuc.scale.values():
            scale.fill_(-60.0)  # as good as 0
    sites = TaskSites([make("low_rank", bottleneck_size=5).module, lhuc], batch.context)
    plain, found = encoder(batch, want=WANT), encoder(batch, sites, want=WANT)
    torch.testing.assert_close(found.pooled_RH, plain.pooled_RH)


def test_without_anything_to_scale(make) -> None:
    module = make("lhuc", site="layer_residual").module
    with pytest.raises(ValueError, match='nothing to scale at "layer_residual"'):
        module("layer_residual", 1, torch.randn(5, 24), None, CONTEXT)


@pytest.mark.parametrize(
    ("site", "canonical", "stored"),
    [
        ("layer_output", "scale.1", "encoder.layer.1.multi_lhuc.{task}.lhuc"),
        ("layer_residual", "scale.3", "encoder.layer.3.multi_lhuc.{task}.lhuc"),
        ("encoder_output", "scale.0", "encoder.multi_layers.{task}.multi_lhuc.0.lhuc"),
        ("ffn_output", "scale.1", None),
    ],
)
def test_names_in_bert_n_pals(make, site, canonical, stored) -> None:
    built = make("lhuc", site=site)
    rows = {row.canonical: row.stored for row in built.spec.names(*built.about)}
    assert rows[canonical] == ({} if stored is None else {"bert_n_pals": stored})
