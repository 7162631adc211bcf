"""The files that hold a checkpoint's tensors: names and shapes, and the tensors themselves."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from bertmod import CheckpointError, StoredTensor
from bertmod.builtin.loaders.dialect import json_object
from bertmod.builtin.loaders.safetensors_header import safetensors_shapes
from bertmod.builtin.loaders.torch_header import is_zipped, torch_shapes

if TYPE_CHECKING:
    from torch import Tensor

TORCH_SUFFIXES = (".bin", ".pt", ".pth")
INDEX_SUFFIX = ".index.json"
"""End of the name of the file that says which file of several has which tensor."""

LFS_POINTER = b"version https://git-lfs.github.com/spec/"

Shapes = Mapping[str, tuple[int, ...]]


def shapes(path: Path) -> Shapes:
    """Name to shape of every tensor, without torch.

    Args:
        path: A safetensors file, one that ``torch.save`` wrote, or the index of several.

    Raises:
        CheckpointError: If a file is missing or damaged, names code, or is not as the index says.
    """
    return {name: shape for found in _by_file(path).values() for name, shape in found.items()}


def stored_tensors(path: Path, *, rename: Callable[[str], str]) -> Mapping[str, StoredTensor]:
    """Every tensor by its name in its file; each is read when it is asked for.

    Args:
        path: A safetensors file, one that ``torch.save`` wrote, or the index of several.
        rename: Name in the file to name in the format.

    Raises:
        CheckpointError: If a file is missing or damaged, names code, or is not as the index says.
    """
    stored = {}
    for file, found in _by_file(path).items():
        read = _safetensors_reader(file) if _is_safetensors(file) else _torch_reader(file)
        for name, shape in found.items():
            stored[name] = StoredTensor(rename(name), shape, partial(read, name, shape))
    return stored


def weight_files(path: Path) -> tuple[Path, ...]:
    """The files that hold tensors: the file itself, or those that an index names.

    Raises:
        CheckpointError: If the index is damaged, names a file outside of its folder, or one that
            is not there.
    """
    if not path.name.endswith(INDEX_SUFFIX):
        return (path,)
    files = tuple(path.parent / name for name in sorted(set(_weight_map(path).values())))
    if lacking := [file.name for file in files if not file.is_file()]:
        raise CheckpointError(
            f"{path}: {_named(lacking)} not there\n  a sharded checkpoint needs all of its files"
        )
    return files


def _by_file(path: Path) -> Mapping[Path, Shapes]:
    """Every file of tensors with what it has."""
    by_file = {file: _shapes_of_one(file) for file in weight_files(path)}
    if path.name.endswith(INDEX_SUFFIX):
        _check_index(path, by_file)
    return by_file


def _shapes_of_one(file: Path) -> Shapes:
    _refuse_pointer(file)
    return safetensors_shapes(file) if _is_safetensors(file) else torch_shapes(file)


def _refuse_pointer(file: Path) -> None:
    """Refuse what Git leaves in place of a large file that it did not fetch."""
    try:
        with file.open("rb") as stream:
            pointer = stream.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError as error:
        raise CheckpointError(f"{file}: cannot be read: {error.strerror}") from error
    if pointer:
        raise CheckpointError(
            f"{file}: a pointer of Git LFS in place of the file\n  fetch the file: git lfs pull"
        )


def _is_safetensors(file: Path) -> bool:
    return file.suffix == ".safetensors"


def _weight_map(path: Path) -> Mapping[str, str]:
    """Tensor name to file name, as an index says."""
    found = (json_object(path) or {}).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"{path}: damaged: no weight_map from tensors to files in it")
    for name, file in found.items():
        place = PurePosixPath(file) if isinstance(file, str) else None
        if place is None or not place.parts or place.is_absolute() or ".." in place.parts:
            raise CheckpointError(
                f'{path}: refused: "{name}" lies in {file!r}, which is not inside the folder'
            )
    return found


def _check_index(path: Path, by_file: Mapping[Path, Shapes]) -> None:
    """Refuse files that do not have what their index says, or that have a tensor twice."""
    owners: dict[str, Path] = {}
    for file, found in by_file.items():
        for name in found:
            if name in owners:
                raise CheckpointError(
                    f'{path}: "{name}" is in two files, {owners[name].name} and {file.name}'
                )
            owners[name] = file
    stated = _weight_map(path)
    if odd := [name for name, file in stated.items() if owners.get(name) != path.parent / file]:
        raise CheckpointError(
            f"{path}: {_named(odd)} not in the file that it says, {stated[odd[0]]}\n"
            "  take the index and the files from one place"
        )


def _named(names: Iterable[str]) -> str:
    """The first name, the number of the others, and the verb that goes with them."""
    first, *rest = names
    return f'"{first}" is' if not rest else f'"{first}" and {len(rest)} more are'


def _safetensors_reader(path: Path) -> Callable[..., Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        file = safe_open(path, framework="pt")
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error

    def read(name: str, shape: tuple[int, ...]) -> Tensor:
        del shape
        try:
            tensor: Tensor = file.get_tensor(name)  # type: ignore[no-untyped-call]
        except SafetensorError as error:
            raise CheckpointError(f'{path}: "{name}" cannot be read: {error}') from error
        return tensor

    return read


def _torch_reader(path: Path) -> Callable[..., Tensor]:
    """Opens the file with the first tensor.

    A zipped one is mapped into memory, not read into it; an old one has to be read whole. Either
    stays open for as long as the reader lives. Tensors come as copies, because many in a file may
    be views of one another, and because a map changes with its file.
    """
    import torch

    @cache
    def state() -> Mapping[str, Tensor]:
        mapped = is_zipped(path) and _check_records(path)
        try:
            loaded: Mapping[str, Tensor] = torch.load(
                path, map_location="cpu", weights_only=True, mmap=mapped
            )
        except Exception as error:  # torch raises many kinds for a damaged file
            raise CheckpointError(f"{path}: cannot be read: {error}") from error
        return loaded

    def read(name: str, shape: tuple[int, ...]) -> Tensor:
        tensor = state().get(name)
        if tensor is None or tuple(tensor.shape) != shape:
            raise CheckpointError(f'{path}: damaged: "{name}" is not what its header says')
        return tensor.detach().clone(memory_format=torch.contiguous_format)

    return read


def _check_records(path: Path) -> bool:
    """Whether a zipped file can be mapped as it is: torch compresses nothing, other tools do.

    Raises:
        CheckpointError: If a checksum differs; torch compares none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            plain = all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
    except Exception as error:  # a damaged archive can raise many kinds
        raise CheckpointError(f"{path}: damaged: {error}") from error
    if damaged is not None:
        raise CheckpointError(f"{path}: damaged: the checksum of {damaged} differs")
    return plain
