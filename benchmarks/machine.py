"""What a measurement ran on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


def machine() -> dict[str, str | int]:
    """Processor, what it multiplies bf16 with, cores and threads; the GPU, if there is one."""
    return {
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
        "cpu": _cpu_model(),
        "bf16": _bf16_instructions(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Versions of bertmod, with the commit of the checkout, and of what it runs on."""
    import bertmod

    found = {"python": platform.python_version(), "bertmod": f"{bertmod.__version__} {_commit()}"}
    return found | {name: metadata.version(name) for name in ("torch", "tokenizers", "numpy")}


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor() or platform.machine()


def _bf16_instructions() -> str:
    capabilities = torch.cpu.get_capabilities()
    if capabilities.get("amx_bf16"):
        return "AMX"
    return "AVX-512 BF16" if capabilities.get("avx512_bf16") else "none"


def _commit() -> str:
    """The checkout's commit, ``+changes`` behind it if files of bertmod differ from it."""
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", "bertmod")
    return f"{commit}{'+changes' if changed else ''}" if commit else "(no checkout)"


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""
