"""Low-rank layers: what is computed, what they are called, what is refused."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from bertmod import Problem
from bertmod.builtin.adapters.low_rank_config import LowRankConfig, check
from bertmod.nn.context import RowContext

CONTEXT = RowContext.of(np.array([3, 2]))


def test_what_it_computes(make) -> None:
    module = make("low_rank", bottleneck_size=5).module
    x, y = torch.randn(5, 24), torch.randn(5, 24)
    found = {}
    for layer in (1, 3):
        down, up = module.down[str(layer)], module.up[str(layer)]
        inner = F.gelu(x @ down.weight.T + down.bias)
        wanted = inner @ up.weight.T + up.bias
        found[layer] = module("layer_residual", layer, x, None, CONTEXT)
        torch.testing.assert_close(found[layer], wanted)
        torch.testing.assert_close(module("layer_residual", layer, x, y, CONTEXT), y + wanted)
    assert not torch.allclose(found[1], found[3])


def test_names_in_bert_n_pals(make) -> None:
    built = make("low_rank")
    rows = {row.canonical: row for row in built.spec.names(*built.about)}
    there = "encoder.layer.3.multi_layers.{task}"
    assert rows["down.3.weight"].stored == {"bert_n_pals": f"{there}.aug_dense.weight"}
    assert rows["up.3.bias"].stored == {"bert_n_pals": f"{there}.aug_dense2.bias"}
    elsewhere = make("low_rank", site="ffn_output")
    assert all(row.stored == {} for row in elsewhere.spec.names(*elsewhere.about))


def test_problems(encoder) -> None:
    found = check(LowRankConfig(site="output_norm"), encoder.shape, (1,))
    assert found == (
        Problem(
            "site",
            '"output_norm" is a norm site, where nothing can be added',
            (
                "accepted: embedding_output, attention_output, ffn_activation, ffn_output, "
                "layer_residual, layer_output, encoder_output",
            ),
        ),
    )
