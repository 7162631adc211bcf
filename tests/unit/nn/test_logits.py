"""The last layer of a head keeps its precision."""

from __future__ import annotations

import torch
from torch import nn

from bertmod.nn.logits import full_precision


def test_autocast_does_not_reach_it() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(64, 3), torch.randn(5, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
        logits = full_precision(layer, x)
        half = full_precision(layer, x.bfloat16())
    assert torch.equal(logits, layer(x))
    assert half.dtype == torch.float32


def test_a_model_in_another_dtype_keeps_it() -> None:
    layer = nn.Linear(8, 2).bfloat16()
    assert full_precision(layer, torch.randn(3, 8)).dtype == torch.bfloat16
