"""Host arrays on their way to a device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bertmod.nn.transfer import to_device

ARRAYS = (np.arange(6).reshape(2, 3), np.array(2.5), np.array([True, False]), np.zeros((0, 2)))


@pytest.mark.parametrize("array", ARRAYS)
def test_on_a_cpu_it_is_the_same_memory(array) -> None:
    found = to_device(array, "cpu")
    assert np.array_equal(found.numpy(), array)
    assert found.numpy().dtype == array.dtype
    assert np.shares_memory(found.numpy(), array) or not array.size


@pytest.mark.gpu
@pytest.mark.parametrize("array", ARRAYS)
def test_a_gpu_is_not_waited_for(array) -> None:
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = to_device(array, "cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert found.device.type == "cuda"
    assert np.array_equal(found.cpu().numpy(), array)
