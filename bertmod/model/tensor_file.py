"""Tensors to and from safetensors files, with the operating system's own errors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bertmod.errors import CheckpointError


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors, wherever they are, in the order of their names.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    plain = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    path.touch()
    mode = path.stat().st_mode  # that of any new file; the library's own are their owner's alone
    try:
        save_file(plain, path, metadata={"format": "pt"})
        path.chmod(mode)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise OSError(f"{path}: cannot be written: {error}") from error
        code = int(number.group(1))
        raise OSError(code, os.strerror(code), str(path)) from error


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file, in memory.

    Raises:
        CheckpointError: If the file is missing or damaged.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: cannot be read: damaged or cut short: {error}\n  copy it here again"
        ) from error
