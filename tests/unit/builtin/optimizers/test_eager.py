"""The built-in optimizers without torch's compiler: the same updates, state and hooks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bertmod import ParameterGroup
from bertmod.builtin.optimizers.eager import EagerAdamW
from bertmod.library import build

ROOT = Path(__file__).parents[4]

USED = """
import sys, torch
from bertmod import ParameterGroup
from bertmod.builtin.optimizers.plugin import bertmod_optimizers

for spec in bertmod_optimizers():
    weight = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = spec.build(spec.config(), [ParameterGroup("all", (("weight", weight),), 0.1, 0.0)])
    weight.grad = torch.ones(3, 2)
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
    print(spec.name, "torch._dynamo" in sys.modules)
"""


def test_no_compiler_is_loaded() -> None:
    command = [sys.executable, "-c", USED]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert {"adamw", "bert_adam", "lamb"} <= {name for name, _ in lines}
    assert {loaded for _, loaded in lines} == {"False"}


@pytest.mark.parametrize("fused", [True, False])
def test_adamw_has_the_bits_of_torchs(fused: bool) -> None:
    made = []
    for kind in (EagerAdamW, torch.optim.AdamW):
        torch.manual_seed(0)
        layer, heard = torch.nn.Linear(5, 3), []
        optimizer = kind(layer.parameters(), lr=0.1, fused=fused, foreach=not fused)
        optimizer.register_step_pre_hook(lambda *_, heard=heard: heard.append("before"))
        optimizer.register_step_post_hook(lambda *_, heard=heard: heard.append("after"))
        for _ in range(3):
            layer(torch.randn(4, 5)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        assert all(parameter.grad is None for parameter in layer.parameters())
        made.append((layer.state_dict(), optimizer.state_dict(), heard))
    (weights, state, heard), (expected, expected_state, expected_heard) = made
    assert heard == expected_heard == ["before", "after"] * 3
    torch.testing.assert_close(weights, expected, rtol=0, atol=0)
    torch.testing.assert_close(state["state"], expected_state["state"], rtol=0, atol=0)
    assert state["param_groups"] == expected_state["param_groups"]


def test_hooks_of_a_step_run_once() -> None:
    """Also of ``touched_rows``, after a plain adamw was made, whose class torch then hooks into."""
    for touched in (False, True):
        weight = torch.nn.Parameter(torch.ones(4, 3))
        group = ParameterGroup("all", (("w", weight),), 0.1, 0.0, tables=frozenset({"w"}))
        optimizer = build("optimizer", "adamw", [group], touched_rows=touched)
        calls: list[int] = []
        optimizer.register_step_post_hook(lambda *_, calls=calls: calls.append(1))
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        assert calls == [1]
