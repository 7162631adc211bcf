"""Rounds of steps that are their matrix products and AdamW's update, nothing between them.

The products are those that bertmod's trainer asked torch for in as many steps, made again on
buffers of the same sizes and strides. ``serving.py`` says how it is used; settings are those of
``bertmod_steps.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from bertmod_steps import new_trainer
from serving import Told, serve
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = frozenset({"aten::mm", "aten::addmm", "aten::bmm", "mkldnn::_linear_pointwise"})


class Products(TorchDispatchMode):
    """Notes every matrix product that is made while it lasts.

    Attributes:
        noted: What makes each of them again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[Callable[[], Any]] = []
        self._buffers: dict[tuple[Any, ...], Tensor] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """What ``func`` gives."""
        del types
        if func.name().partition(".")[0] in PRODUCTS:
            like = [self._like(each) if isinstance(each, Tensor) else each for each in args]
            self.noted.append(lambda: func(*like, **(kwargs or {})))
        return func(*args, **(kwargs or {}))

    def _like(self, tensor: Tensor) -> Tensor:
        """A buffer in a tensor's place, one for all of its size, strides and dtype."""
        key = (tensor.size(), tensor.stride(), tensor.dtype)
        if key not in self._buffers:
            self._buffers[key] = torch.empty_strided(
                *key[:2], dtype=tensor.dtype, device=tensor.device
            ).normal_()
        return self._buffers[key]


def start(settings: dict[str, Any]) -> tuple[Told, Any]:
    """Note the products of a round of the trainer's steps."""
    torch.set_num_threads(settings["threads"])
    trainer = new_trainer(settings["recipe"], (f'training.device="{settings["device"]}"',))
    steps, made = [], []
    for _ in range(settings["steps"]):
        with Products() as products:
            made.append(trainer.train_step()[1])
        steps.append(products.noted)
    parameters = [each.detach().clone() for each in trainer.model.parameters()]
    for each in parameters:
        each.grad = torch.full_like(each, 1e-3)
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=True)
    about = {
        "rows": sum(step.features for step in made),
        "tokens": sum(step.tokens for step in made),
    }

    def one_round(_: str) -> Told:
        begun = time.perf_counter()
        with torch.no_grad():
            for step in steps:
                for product in step:
                    product()
                optimizer.step()
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        return {"seconds": time.perf_counter() - begun, **about}

    return {"precision": trainer.settings.precision}, one_round


if __name__ == "__main__":
    serve(start)
