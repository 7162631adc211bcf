"""The loss scale of fp16, which keeps small gradients from becoming zero.

torch's ``GradScaler`` is not used. It skips a step that overflowed, where this engine makes the
same step again; it judges by gradients alone, where a step judges by loss and norm; it always
grows, where a stated scale never does; and it keeps its scale on the device to save a wait that
a step in fp16 makes anyway, since it may have to be made again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from bertmod.errors import CheckpointError

START = 2.0**16
"""Where a dynamic scale begins."""

FLOOR = 2.0**-14
"""The least scale: gradients that overflow at it are beyond 10**9, hence no matter of scale."""

GROWTH_STEPS = 2000
"""Steps in a row that are finite at once, after which a dynamic scale is doubled."""


class LossScale:
    """A factor of the loss, by which the gradients are divided after the backward pass.

    A power of two changes no digit of what neither overflows nor underflows.

    Args:
        start: Factor of the first step, positive.
        floor: A step that is not finite is made again while half of its factor is at least this.
        growth_steps: Steps in a row that must be finite at once before the factor is doubled;
            None: it never grows.
        used: Whether a run has a loss scale at all; 1 is then more than a manner of speaking.
    """

    def __init__(
        self,
        start: float,
        *,
        floor: float = FLOOR,
        growth_steps: int | None = None,
        used: bool = True,
    ) -> None:
        self.value, self.floor, self.used = start, floor, used
        self.retries: dict[str, int] = {}
        self._growth_steps, self._good_steps = growth_steps, 0

    @torch.no_grad()
    def unscale(self, gradients: Sequence[Tensor]) -> None:
        """Divide gradients by the factor, in place.

        Args:
            gradients: Any shapes, fp32.
        """
        if self.value != 1.0 and gradients:
            torch._foreach_div_(list(gradients), self.value)

    def lower(self, task: str) -> bool:
        """A step of a task was not finite: halve the factor, unless it is as low as it may be.

        Returns:
            Whether the step is to be made again.
        """
        if self.value / 2 < self.floor:
            return False
        self.value, self._good_steps = self.value / 2, 0
        self.retries[task] = self.retries.get(task, 0) + 1
        return True

    def stepped(self) -> None:
        """A step was finite."""
        self._good_steps += 1
        if self._growth_steps is not None and self._good_steps >= self._growth_steps:
            self.value, self._good_steps = self.value * 2, 0

    def state_dict(self) -> dict[str, Any]:
        """Factor, finite steps since it changed, and steps made again by task."""
        return {
            "scale": self.value,
            "good_steps": self._good_steps,
            "retries": dict(self.retries),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them back.

        Raises:
            CheckpointError: If the keys are not the expected ones.
        """
        if state.keys() != self.state_dict().keys():
            raise CheckpointError(f"unknown state of the loss scale: {sorted(state)}")
        self.value, self._good_steps = float(state["scale"]), int(state["good_steps"])
        self.retries = dict(state["retries"])


def build_loss_scale(setting: float | Literal["dynamic"], precision: str) -> LossScale:
    """The loss scale of a run.

    Args:
        setting: ``dynamic``, or where it starts, at least ``FLOOR``; such a one never grows.
        precision: ``fp32``, ``bf16`` or ``fp16``; only the last has a scale.

    Raises:
        ValueError: If a number is given for another precision than fp16, or is below ``FLOOR``.
    """
    if setting == "dynamic":
        if precision == "fp16":
            return LossScale(START, growth_steps=GROWTH_STEPS)
        return LossScale(1.0, floor=1.0, used=False)
    if precision != "fp16":
        raise ValueError(f"loss_scale {setting} is for precision fp16, and this is {precision}")
    if not FLOOR <= setting < math.inf:
        raise ValueError(f"loss_scale is {setting}; it must be finite and at least 2**-14")
    return LossScale(float(setting))
