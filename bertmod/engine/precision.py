"""Where and in which precision a run computes."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager

import torch

from bertmod.errors import Problem, RecipeError

LOG = logging.getLogger("bertmod")
_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


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
    """``fp32``, ``bf16`` or ``fp16``: ``auto`` takes bf16 where the device multiplies it faster.

    On a CPU that is one with AMX or AVX-512 BF16 instructions, on a GPU one with bf16 tensor
    cores (compute capability 8.0 and up). ``auto`` never takes fp16.

    Raises:
        RecipeError: If fp16 is asked for and a product of fp16 matrices fails on the device.
    """
    if name == "auto":
        return "bf16" if _fast_bf16(device) else "fp32"
    if name == "fp16":
        _try_fp16(device)
    return name


def _try_fp16(device: torch.device) -> None:
    """Multiply two small matrices as a forward would."""
    try:
        ones = torch.ones(8, 8, device=device)
        with autocast("fp16", device):
            product = (ones @ ones).sum().item()
    except RuntimeError as error:
        cause = str(error).partition("\n")[0]
        what = f"{device} of this machine cannot multiply in fp16: {cause}"
        more = ('accepted here: "auto", "fp32" or "bf16"', "or another training.device")
        raise RecipeError("this machine", [Problem("training.precision", what, more)]) from error
    assert product == 512


def warn_if_slow(precision: str, device: torch.device) -> None:
    """Say so if a run is in fp16 on a CPU."""
    if precision == "fp16" and device.type == "cpu":
        better = resolve_precision("auto", device)
        LOG.warning('fp16 is meant for GPUs and slow on a CPU, where "auto" gives %s', better)


def answering_precision(precision: str, device: torch.device) -> str:
    """The precision in which a run's model answers: fp32 for fp16 on a CPU, slow or missing there.

    Args:
        precision: The precision that it trained in.
        device: Where it answers.
    """
    return "fp32" if precision == "fp16" and device.type == "cpu" else precision


def _fast_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of forwards: products in 16 bits over fp32 parameters, or plain fp32."""
    half = _HALF.get(precision)
    return torch.autocast(device.type, half or torch.bfloat16, enabled=half is not None)
