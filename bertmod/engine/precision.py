"""Where and in which precision a run computes."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from bertmod.errors import Problem, RecipeError


def resolve_device(name: str) -> torch.device:
    """The device of a setting.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        RecipeError: If the machine lacks the device.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if count else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= count:
        found = f"this machine has {count} CUDA devices" if count else "this machine has no GPU"
        more = (found, 'use "auto" or "cpu"')
        problem = Problem("training.device", f'no device "{name}"', more)
        raise RecipeError("this machine", [problem])
    return device


def resolve_precision(name: str, device: torch.device) -> str:
    """``fp32`` or ``bf16``: ``auto`` takes bf16 where the device multiplies it faster.

    On a CPU that is one with AMX or AVX-512 BF16 instructions, on a GPU one with bf16 tensor
    cores (compute capability 8.0 and up).
    """
    if name != "auto":
        return name
    return "bf16" if _fast_bf16(device) else "fp32"


def _fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which forwards run: bf16 products over fp32 parameters, or plain fp32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
