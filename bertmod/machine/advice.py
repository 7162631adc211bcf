"""What the facts of a machine mean for a run, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from bertmod.machine.facts import Machine, Torch
from bertmod.wording import counted, listed

FULL_TRAINING_BYTES = 16 * 110_000_000
"""Weights, gradients and Adam's state of BERT-base, fp32, all of it trained."""

LITTLE_ROOM_BYTES = 2**30
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
CLOSE = 1.1
"""Speeds of less than this ratio are called equal."""


def advise(machine: Machine) -> list[str]:
    """Advice, a line each; never empty."""
    lines = [
        *_of_torch(machine),
        *_of_threads(machine),
        *_of_room(machine),
        *_of_plugins(machine),
        *_of_environment(machine.environment),
    ]
    return lines or ["nothing to do"]


def _of_torch(machine: Machine) -> Iterator[str]:
    """Devices and precisions."""
    if machine.torch is None:
        yield "torch does not load, so nothing can be trained: install it again"
        return
    for device in machine.torch.auto:
        yield from _precision(machine.torch, device)
    count = len(machine.torch.gpus)
    if count > 1:
        yield f"{count} GPUs: a run takes one; bertmod run --nproc {count} shares it among them"
    elif not count:
        yield from _no_gpu(machine)


def _precision(torch: Torch, device: str) -> Iterator[str]:
    """Which precision is fast on a device, and whether ``auto`` takes it."""
    gflops = {each.precision: each.gflops for each in torch.speeds if each.device == device}
    wide, half = gflops.get("fp32"), gflops.get("bf16")
    takes, name = torch.auto[device], "this CPU" if device == "cpu" else device
    if not wide or not half:
        yield f"{name} cannot multiply in {'bf16' if wide else 'fp32'}: auto takes {takes}"
        return
    ratio = half / wide
    if max(ratio, 1 / ratio) < CLOSE:
        said = f"{name} multiplies bf16 about as fast as fp32"
    elif ratio > 1:
        said = f"{name} multiplies bf16 {ratio:.1f} times as fast as fp32"
    else:
        said = f"{name} multiplies fp32 {1 / ratio:.1f} times as fast as bf16"
    other = "fp32" if takes == "bf16" else "bf16"
    better = gflops[other] or 0.0
    if better > CLOSE * (gflops[takes] or 0.0):
        why = "which goes by its instructions" if device == "cpu" else "which goes by its kind"
        yield f'{said}, but auto, {why}, takes {takes}: try "precision": "{other}"'
    else:
        yield f"{said}: auto takes {takes}"


def _no_gpu(machine: Machine) -> Iterator[str]:
    assert machine.torch is not None
    hidden = machine.environment.get("CUDA_VISIBLE_DEVICES")
    driver = NVIDIA_DRIVER.exists()
    if driver and machine.torch.cuda is None:
        yield "there is an NVIDIA driver, but torch was built without CUDA: install one with it"
    elif hidden is not None and machine.torch.cuda is not None:
        yield f'no GPU is seen, and CUDA_VISIBLE_DEVICES is "{hidden}": unset it to see all'
    elif driver:
        yield f"torch, built for CUDA {machine.torch.cuda}, sees no GPU: is the driver too old?"
    else:
        yield (
            "no GPU: a small encoder, adapters on a frozen one or short rows train well here; "
            "bertmod plan says how long a run takes"
        )


def _of_threads(machine: Machine) -> Iterator[str]:
    """Threads against cores."""
    if machine.torch is None or machine.cores is None:
        return
    cores = min(machine.cores, math.ceil(machine.limits.cores or machine.cores))
    threads = machine.torch.threads
    stated = machine.environment.get("OMP_NUM_THREADS")
    if threads > cores:
        yield (
            f"{threads} threads would share {counted(cores, 'core')} and wait for each other: "
            f"set OMP_NUM_THREADS={cores}"
        )
    elif threads < cores and stated is not None:
        yield f"torch uses {threads} of {counted(cores, 'core')}, since OMP_NUM_THREADS is {stated}"


def _of_room(machine: Machine) -> Iterator[str]:
    """Memory and disk."""
    left = [each for each in (machine.available, machine.limits.memory) if each is not None]
    if left and min(left) < FULL_TRAINING_BYTES:
        yield (
            f"{min(left) / 2**30:.1f} GiB of memory are too few to train all of BERT-base "
            f"({FULL_TRAINING_BYTES / 2**30:.1f} GiB and its activations): freeze the encoder, "
            "or take a smaller one"
        )
    cache = machine.cache
    if cache is not None and not cache.writable:
        yield f"the cache {cache.folder} cannot be written: set XDG_CACHE_HOME to another folder"
    elif cache is not None and cache.free < LITTLE_ROOM_BYTES:
        yield (
            f"{cache.free / 2**20:,.0f} MiB are free for the cache {cache.folder}: make room, or "
            "set XDG_CACHE_HOME to a folder on another disk"
        )


def _of_plugins(machine: Machine) -> Iterator[str]:
    failed = [each for each in machine.plugins if each.state == "failed"]
    for each in failed:
        owner = f"{each.distribution} {each.version}".strip()
        yield f"plugin {owner} did not load: {each.cause}"


def _of_environment(environment: Mapping[str, str | None]) -> Iterator[str]:
    if (environment.get("HF_HUB_OFFLINE") or "0").upper() in ("1", "ON", "YES", "TRUE"):
        yield "HF_HUB_OFFLINE is set: names on the hub are looked up in its cache alone"
    if (chosen := environment.get("BERTMOD_PLUGINS")) is not None:
        names = [name.strip() for name in chosen.split(",") if name.strip()]
        yield f"BERTMOD_PLUGINS is set: of the plugins that are installed it loads {listed(names)}"
