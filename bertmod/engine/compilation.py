"""Layers compiled by ``torch.compile``.

The code is for any number of tokens and rows, so that a layer is compiled once for each list of
adapters that it meets: tasks with adapters of one kind share it. A batch of one row, and epochs
without dropout, are forms of their own. Dropout is the one of code that is not compiled, so that a
run differs by rounding alone; a GPU's attention is an operation that the compiler leaves as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo.config as limits
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from bertmod.errors import Problem, RecipeError, TrainingError

FORMS = 32
"""Forms of a layer that are compiled at most, more than a run should come to; later ones are not
compiled. Of itself torch would give up after eight of all layers together."""


def require_compiler(device: torch.device) -> None:
    """Compile something small.

    Args:
        device: For which device.

    Raises:
        RecipeError: If that fails; says what is missing.
    """

    def double(x: Tensor) -> Tensor:
        return x * 2

    try:
        found = torch.compile(double, dynamic=True)(torch.ones(8, device=device)).sum().item()
    except RuntimeError as error:
        what = f"torch.compile does not work for {device.type} on this machine: {_cause(error)}"
        needed = (
            "Triton and a C compiler" if device.type == "cuda" else "a C++ compiler such as g++"
        )
        more = (f"it needs {needed}", "install that, or use false")
        raise RecipeError("this machine", [Problem("training.compile", what, more)]) from error
    assert found == 16


def compiled(forward: Callable[..., Any], *, num_layers: int) -> Callable[..., Any]:
    """A layer's forward, compiled when it is first called.

    Args:
        forward: The function of the layer's class, the layer itself its first argument.
        num_layers: How many layers share it; each has code of its own.

    Returns:
        A function that raises TrainingError where torch cannot compile what it meets.
    """
    _allow(FORMS * num_layers)
    made = torch.compile(forward, dynamic=True, options={"fallback_random": True})

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return made(*args, **kwargs)
        except TorchDynamoException as error:
            raise TrainingError(
                f"a layer of the encoder could not be compiled: {_cause(error)}\n"
                "  use training.compile: false"
            ) from error

    return call


def _allow(number: int) -> None:
    """Let torch compile a function in so many forms, or more if it may already."""
    limits.recompile_limit = max(limits.recompile_limit, number)
    limits.accumulated_recompile_limit = max(limits.accumulated_recompile_limit, number)


def _cause(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
