"""What a run was made with: versions, seeds and hashes."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bertmod import __version__
from bertmod.data.cache import file_hash
from bertmod.model.card import installed_versions
from bertmod.recipe.resolved import ResolvedRecipe
from bertmod.registry import Registry

LIBRARIES = ("torch", "numpy", "tokenizers", "safetensors", "scikit-learn", "scipy", "pydantic")


def lock_values(
    recipe: ResolvedRecipe, registry: Registry, data_files: Iterable[Path]
) -> dict[str, Any]:
    """JSON values of ``lock.json``.

    Args:
        recipe: The resolved recipe.
        registry: What is installed.
        data_files: Every data file that the run reads; hashed.
    """
    checkpoint = recipe.description.files if recipe.description is not None else ()
    versions = installed_versions(LIBRARIES)
    return {
        "bertmod": __version__,
        "plugins": dict(registry.providers),
        "libraries": {name: versions.get(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "git_commit": _git_commit(),
        "seed": recipe.seed,
        "data": {str(path): file_hash(path) for path in data_files},
        "synthetic_sample": recipe.data.dir == "sample",
        "checkpoint": {str(path): file_hash(Path(path)) for path in checkpoint},
    }


def processor_name() -> str:
    """What the processor calls itself; empty if it does not say."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _git_commit() -> str | None:
    """Commit of the checkout that bertmod runs from; None where it is installed otherwise."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
