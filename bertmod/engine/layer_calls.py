"""How the encoder's layers are called in training: checkpointed, compiled, both, or as they are.

Activation checkpointing is ``torch.utils.checkpoint``, compilation ``torch.compile``. Both go
around the ``forward`` of each of ``Encoder.blocks`` while a training forward lasts, and nothing
stays on the model: names of parameters, copies and evaluation are those of a model without them.
Checkpointing is outermost, so that what is computed again is the compiled layer. Layers that torch
hooks into (``fully_shard``) keep their hooks, which lie around ``forward``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import MethodType
from typing import Any, cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from bertmod.contracts.encoder import Encoder
from bertmod.model.multitask import MultiTaskModel

Forward = Callable[..., Any]


class LayerCalls:
    """Puts activation checkpointing and compiled code around an encoder's layers.

    Args:
        checkpointing: Whether a layer's activations are computed again in the backward pass.
        compiled: Whether layers are compiled.
        device: Where the model is.
        products: What is around a step's forward, and has to be around what is computed again.

    Raises:
        RecipeError: If layers are to be compiled and this machine lacks what that takes.
    """

    def __init__(
        self,
        *,
        checkpointing: bool,
        compiled: bool,
        device: torch.device,
        products: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._checkpointing, self._compiles = checkpointing, compiled
        self._products = products
        self._compiled: dict[Forward, Forward] = {}
        if compiled:
            from bertmod.engine.compilation import require_compiler  # takes a second to import

            require_compiler(device)

    @contextmanager
    def around(self, model: MultiTaskModel) -> Iterator[None]:
        """Call a model's layers so while the block lasts; its backward pass may come later.

        Args:
            model: The model, or a copy of it; no two threads the same.
        """
        blocks: tuple[nn.Module, ...] = ()
        if self._checkpointing or self._compiles:
            blocks = tuple(cast(Encoder, model.encoder).blocks)
        for block in blocks:
            block.forward = MethodType(self._call(type(block).forward, len(blocks)), block)
        try:
            yield
        finally:
            for block in blocks:
                del block.forward

    def _call(self, forward: Forward, num_layers: int) -> Forward:
        """What is called in place of a layer's ``forward``."""
        if self._compiles:
            if forward not in self._compiled:
                from bertmod.engine.compilation import compiled

                self._compiled[forward] = compiled(forward, num_layers=num_layers)
            forward = self._compiled[forward]
        return _checkpointed(forward, self._products) if self._checkpointing else forward


def _checkpointed(
    forward: Forward, products: Callable[[], AbstractContextManager[object]]
) -> Forward:
    """A layer's forward that keeps its inputs alone.

    The state of the generators is kept too, so that what is computed again has the same dropout.
    Where neither the layer nor anything before it trains, nothing is computed again.
    """

    def contexts() -> tuple[AbstractContextManager[object], AbstractContextManager[object]]:
        return nullcontext(), products()

    def call(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(forward, *args, use_reentrant=False, context_fn=contexts, **kwargs)

    return call
