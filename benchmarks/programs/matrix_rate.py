"""How many operations a second large matrix products get here; ``serving.py`` says how it is used.

A line of the input is ``fp32`` or ``bf16``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from serving import serve

SIZES = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of the matrices."""

TIMES = 4
"""Products of a round, of each library that multiplies here."""


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Make the matrices."""
    torch.set_num_threads(settings["threads"])
    device = settings["device"]
    size = SIZES[device]
    fp32 = torch.randn(size, size, device=device)
    matrices = {"fp32": fp32, "bf16": fp32.bfloat16()}
    products = [torch.matmul, *(_onednn() if device == "cpu" else [])]
    wait = torch.cuda.synchronize if device == "cuda" else _nothing

    def rate(precision: str) -> dict[str, float]:
        """Operations a second of the fastest product: an addition and a multiplication are two."""
        matrix, times = matrices[precision], []
        for product in products * TIMES:
            wait()
            begun = time.perf_counter()
            product(matrix, matrix)
            wait()
            times.append(time.perf_counter() - begun)
        return {"seconds": sum(times), "rate": 2 * size**3 / min(times)}

    return {"size": size}, rate


def _nothing() -> None:
    """A CPU is done when it returns."""


def _onednn() -> list[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    """The product of oneDNN, where torch has it; MKL has half of its rate in fp32 on some CPUs."""
    if not torch.backends.mkldnn.is_available():
        return []
    product = torch.ops.mkldnn._linear_pointwise
    return [lambda one, other: product(one, other, None, "none", [], "")]


if __name__ == "__main__":
    serve(start)
