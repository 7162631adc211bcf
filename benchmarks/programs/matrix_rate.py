"""How many operations a second large matrix products get here; ``serving.py`` says how it is used.

A line of the input is ``fp32`` or ``bf16``.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from serving import serve

SIZE = 2048
"""Rows and columns of the matrices."""

TIMES = 4
"""Products of a round."""


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Make the matrices."""
    torch.set_num_threads(settings["threads"])
    fp32 = torch.randn(SIZE, SIZE)
    matrices = {"fp32": fp32, "bf16": fp32.bfloat16()}

    def rate(precision: str) -> dict[str, float]:
        """Operations a second of the fastest product: an addition and a multiplication are two."""
        matrix, times = matrices[precision], []
        for _ in range(TIMES):
            begun = time.perf_counter()
            torch.matmul(matrix, matrix)
            times.append(time.perf_counter() - begun)
        return {"seconds": sum(times), "rate": 2 * SIZE**3 / min(times)}

    return {"size": SIZE}, rate


if __name__ == "__main__":
    serve(start)
