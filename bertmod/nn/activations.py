"""Activation functions by the names that recipes use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def gelu(x: Tensor) -> Tensor:
    """``x`` times the normal distribution function of ``x``, exact (erf)."""
    return F.gelu(x)


def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh approximation of ``gelu``; up to about 5e-4 away from it."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": F.relu,
    "tanh": torch.tanh,
}
"""Every activation: a function of any floating tensor, of the same shape."""


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of a name.

    Raises:
        ValueError: If there is none of that name.
    """
    try:
        return ACTIVATIONS[name]
    except KeyError:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f'no activation called "{name}"; there are {known}') from None
