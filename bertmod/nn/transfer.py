"""Host arrays on their way to a device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_device(array: np.ndarray, device: torch.device | str) -> Tensor:
    """An array as a tensor of a device, for which nobody waits.

    For a GPU it goes through page-locked memory, from which the GPU fetches it by itself, in the
    order of what it was asked for; from other memory a copy would wait until the GPU has done
    everything else.

    Args:
        array: Any shape and dtype that torch knows; on a CPU the tensor is its memory.
        device: Where the tensor goes.
    """
    tensor = torch.from_numpy(array)
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
