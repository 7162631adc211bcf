"""The file that holds a checkpoint's tensors: its names and shapes, and the tensors themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from bertmod import CheckpointError, StoredTensor
from bertmod.builtin.loaders.safetensors_header import safetensors_shapes
from bertmod.builtin.loaders.torch_header import torch_shapes

if TYPE_CHECKING:
    from torch import Tensor

TORCH_SUFFIXES = (".bin", ".pt", ".pth")


def shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Name to shape of every tensor in a file, without torch.

    Raises:
        CheckpointError: If the file is damaged or names code.
    """
    read = safetensors_shapes if path.suffix == ".safetensors" else torch_shapes
    return read(path)


def stored_tensors(path: Path, *, rename: Callable[[str], str]) -> Mapping[str, StoredTensor]:
    """Every tensor of a file by its name there; each is read when it is asked for.

    Args:
        path: A safetensors file, or one that ``torch.save`` wrote.
        rename: Name in the file to name in the format.

    Raises:
        CheckpointError: If the file is damaged or names code.
    """
    found = shapes(path)
    read = _safetensors_reader(path) if path.suffix == ".safetensors" else _torch_reader(path)
    return {
        name: StoredTensor(rename(name), shape, partial(read, name))
        for name, shape in found.items()
    }


def _safetensors_reader(path: Path) -> Callable[[str], Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="pt")
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error

    def read(name: str) -> Tensor:
        tensor: Tensor = file.get_tensor(name)  # type: ignore[no-untyped-call]
        return tensor

    return read


def _torch_reader(path: Path) -> Callable[[str], Tensor]:
    """Reads the whole file with the first tensor; ``weights_only`` runs no code."""
    import torch

    @cache
    def state() -> Mapping[str, Tensor]:
        try:
            loaded: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file
            raise CheckpointError(f"{path}: cannot be read: {error}") from error
        return loaded

    return lambda name: state()[name]
