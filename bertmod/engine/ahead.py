"""Steps that the host does not wait for.

Whether a step is made depends on its losses and the norm of its gradients. If the host decides
that, it waits in every step for all that it asked of the device, which then has nothing to do
until it is asked for more. So a GPU decides by itself, and what it decided by is read while it
makes the next step. A step that is not finite still changes nothing, and no step after it does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from bertmod.engine.parallel import Ranks
from bertmod.engine.settings import TrainerSettings


def can_run_ahead(
    optimizer: Optimizer, settings: TrainerSettings, *, ranks: Ranks, device: torch.device
) -> bool:
    """Whether nobody but the device needs to know at once if a step is finite.

    A step in fp16 may have to be made again; several processes add their losses up on the host;
    and offloaded parameters are stepped by the host. Of optimizers those can leave a step out that
    torch's ``GradScaler`` tells by ``found_inf``, such as torch's fused ones.

    Args:
        optimizer: The run's.
        settings: The run's, precision resolved.
        ranks: The processes that share each step.
        device: Where the model is.
    """
    alone = ranks.size == 1 and settings.offload is None and settings.precision != "fp16"
    skips = getattr(optimizer, "_step_supports_amp_scaling", False)
    return alone and device.type == "cuda" and bool(skips)


class Readings:
    """Numbers that a device is still computing, on their way to the host.

    Args:
        values: Scalars of any floating dtype, at least one; they are put together on the device
            of the last.

    Attributes:
        there: The numbers on that device, (values,), fp64.
    """

    def __init__(self, values: Sequence[Tensor]) -> None:
        device = values[-1].device
        self.there = torch.stack(
            [each.detach().reshape(()).to(device, torch.float64) for each in values]
        )
        self._here, self._arrived = self.there, None
        if device.type == "cuda":
            self._here = torch.empty_like(self.there, device="cpu", pin_memory=True)
            self._here.copy_(self.there, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record(torch.cuda.current_stream(device))

    def read(self) -> list[float]:
        """The numbers, once they are there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        numbers: list[float] = self._here.tolist()
        return numbers


class Fuse:
    """Lets an optimizer step until a number is not finite, without asking the device.

    Args:
        optimizer: One that ``can_run_ahead``.
        device: Where its parameters are.

    Attributes:
        blown: 1 once a number was not finite, else 0, (), fp32.
    """

    def __init__(self, optimizer: Optimizer, device: torch.device) -> None:
        self._optimizer = optimizer
        self.blown = torch.zeros((), device=device)

    @torch.no_grad()
    def step(self, numbers: Tensor) -> None:
        """Step, unless one of these or of earlier numbers is not finite.

        Args:
            numbers: Any shape, floating, on the device.
        """
        self.blown = torch.maximum(self.blown, (~numbers.isfinite()).any().float())
        self._optimizer.found_inf = self.blown  # type: ignore[attr-defined]
        try:
            self._optimizer.step()
        finally:
            del self._optimizer.found_inf  # type: ignore[attr-defined]
