"""How fast a device multiplies matrices, measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

ROWS, INNER, COLUMNS = 512, 768, 3072
"""A product of BERT-base's feed-forward layer: tokens, width in, width out."""

FEW_ROWS = 16
"""Rows of the first product, which is all that is measured where whole ones would take long."""

PATIENCE_SECONDS = 0.3
"""Time that one precision is measured for."""

LEAST_PRODUCTS, MOST_PRODUCTS = 3, 200
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True)
class Speed:
    """How fast a device multiplies in a precision.

    Attributes:
        device: ``cpu`` or ``cuda:N``.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        gflops: Thousand millions of operations a second; None if it cannot.
        cause: Why it cannot, one line.
    """

    device: str
    precision: str
    gflops: float | None
    cause: str = ""


def measure_speeds(device: torch.device) -> list[Speed]:
    """The speed of each precision: the best of a few products, since others may be at work too."""
    speeds = []
    for precision in DTYPES:
        try:
            speeds.append(Speed(str(device), precision, _gflops(device, precision)))
        except RuntimeError as error:  # what torch raises where a device has no such product
            cause = str(error).strip().partition("\n")[0]
            speeds.append(Speed(str(device), precision, None, cause))
    return speeds


def _gflops(device: torch.device, precision: str) -> float:
    few = _product(device, precision, FEW_ROWS)
    _time(few, device)  # which loads what it needs
    row_seconds = min(_time(few, device) for _ in range(LEAST_PRODUCTS)) / FEW_ROWS
    if row_seconds * ROWS < PATIENCE_SECONDS:
        row_seconds = min(_times(_product(device, precision, ROWS), device)) / ROWS
    return 2e-9 * INNER * COLUMNS / max(row_seconds, 1e-12)


def _product(device: torch.device, precision: str, rows: int) -> Callable[[], object]:
    import torch

    dtype = getattr(torch, DTYPES[precision])
    left = torch.ones(rows, INNER, device=device, dtype=dtype)
    right = torch.ones(INNER, COLUMNS, device=device, dtype=dtype)
    return lambda: left @ right


def _times(product: Callable[[], object], device: torch.device) -> Iterator[float]:
    """Times of products, seconds, after one that warms up."""
    _time(product, device)
    until = time.perf_counter() + PATIENCE_SECONDS
    for count in range(MOST_PRODUCTS):
        if count >= LEAST_PRODUCTS and time.perf_counter() > until:
            return
        yield _time(product, device)


def _time(product: Callable[[], object], device: torch.device) -> float:
    import torch

    began = time.perf_counter()
    product()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
