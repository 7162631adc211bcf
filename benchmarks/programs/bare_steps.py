"""Rounds of steps that are their matrix products and AdamW's update, nothing between them.

No program that trains can be faster with these products: there are no activations, norms, masks,
conversions or batches to make, and every result goes into a buffer that is there. ``serving.py``
says how it is used.

Settings: ``widths`` as in ``benchmarks/speed/shapes.py``; ``lengths`` of the rows; ``batch_size``;
``sizes`` of all parameters; ``threads``; ``device``. They are in the precision of ``auto``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from serving import Told, serve
from torch import Tensor

from bertmod.engine.precision import resolve_precision

Sizes = tuple[int, int, int]
"""Rows, inner width and columns of a product."""


def products(lengths: list[int], hidden: int, layers: int) -> Iterator[tuple[Sizes, int]]:
    """The products of a batch with the weights, and how often each is made.

    As bertmod trains: in the last layer keys and values of all tokens, all else of first tokens.

    Args:
        lengths: Tokens of each row.
        hidden: Hidden size.
        layers: Layers.
    """
    tokens, rows = sum(lengths), len(lengths)
    for count, places, columns in (
        (layers - 1, tokens, (3 * hidden, hidden)),
        (1, tokens, (2 * hidden,)),
        (1, rows, (hidden, hidden)),
    ):
        for width in columns:
            yield (places, hidden, width), count
    for count, places in ((layers - 1, tokens), (1, rows)):
        yield (places, hidden, 4 * hidden), count
        yield (places, 4 * hidden, hidden), count


def attention(lengths: list[int], hidden: int, heads: int) -> Iterator[tuple[int, Sizes]]:
    """The products of a batch without weights in a layer: how many at a time, and their sizes."""
    longest, width = max(lengths), hidden // heads
    yield len(lengths) * heads, (longest, width, longest)
    yield len(lengths) * heads, (longest, longest, width)


def start(settings: dict[str, Any]) -> tuple[Told, Any]:
    """Make the buffers and the optimizer."""
    torch.set_num_threads(settings["threads"])
    device = torch.device(settings["device"])
    precision = resolve_precision("auto", device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    lengths, size = sorted(settings["lengths"]), settings["batch_size"]
    batches = [lengths[first : first + size] for first in range(0, len(lengths), size)]
    make = _Products(dtype, device)
    steps = [_step(make, batch, settings["widths"]) for batch in batches]
    parameters = [
        torch.nn.Parameter(torch.randn(each, device=device)) for each in settings["sizes"]
    ]
    for each in parameters:
        each.grad = torch.full_like(each, 1e-3)
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=True)

    def one_round(_: str) -> Told:
        begun = time.perf_counter()
        for step in steps:
            for product in step:
                product()
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "rows": len(lengths), "tokens": sum(lengths)}

    return {"precision": precision}, one_round


class _Products:
    """Makes products of buffers; those of equal sizes are one, but for what is read or written.

    Args:
        dtype: Of factors and results.
        device: Where they are.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._options = {"dtype": dtype, "device": device}
        self._read: dict[tuple[int, ...], Tensor] = {}
        self._written: dict[tuple[int, ...], Tensor] = {}

    def of(self, sizes: Sizes, *number: int) -> list[Callable[[], Tensor]]:
        """A product forward, and those of the gradients of both factors.

        Args:
            sizes: Of the product forward.
            number: How many are made at a time; none: one, with a weight as linear layers keep it.
        """
        rows, inner, columns = sizes
        of_input, of_weight, of_output = (
            (*number, *each) for each in ((rows, inner), (columns, inner), (rows, columns))
        )
        x, weight, grad = (self._factor(each) for each in (of_input, of_weight, of_output))
        y, dx, dweight = (self._result(each) for each in (of_output, of_input, of_weight))
        multiply = torch.bmm if number else torch.mm
        return [
            lambda: multiply(x, weight.mT, out=y),
            lambda: multiply(grad, weight, out=dx),
            lambda: multiply(grad.mT, x, out=dweight),
        ]

    def _factor(self, sizes: tuple[int, ...]) -> Tensor:
        if sizes not in self._read:
            self._read[sizes] = torch.randn(sizes, **self._options)
        return self._read[sizes]

    def _result(self, sizes: tuple[int, ...]) -> Tensor:
        if sizes not in self._written:
            self._written[sizes] = torch.empty(sizes, **self._options)
        return self._written[sizes]


def _step(make: _Products, lengths: list[int], widths: tuple[int, int, int]) -> list[Any]:
    """The products of a step; of attention as many layers as there are but the last."""
    hidden, layers, heads = widths
    step = []
    for sizes, count in products(lengths, hidden, layers):
        step += make.of(sizes) * count
    for number, sizes in attention(lengths, hidden, heads):
        step += make.of(sizes, number) * (layers - 1)
    return step


if __name__ == "__main__":
    serve(start)
