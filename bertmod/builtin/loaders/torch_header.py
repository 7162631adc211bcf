"""Names and shapes in a file that ``torch.save`` wrote, read without torch and without running it.

Such a file is a pickle, alone (before 2020) or in a zip archive. Its instructions are followed with
a handful of harmless stand-ins for torch's classes; anything else that it names is refused.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from bertmod import CheckpointError

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = frozenset(
    f"{kind}Storage"
    for kind in (
        "Float",
        "Double",
        "Half",
        "BFloat16",
        "Long",
        "Int",
        "Short",
        "Char",
        "Byte",
        "Bool",
    )
)
DTYPES = frozenset(
    (
        "float8_e4m3fn",
        "float8_e4m3fnuz",
        "float8_e5m2",
        "float8_e5m2fnuz",
        "uint16",
        "uint32",
        "uint64",
    )
)
"""Kinds that torch names beside a storage without a kind."""


class _Tensor(NamedTuple):
    shape: tuple[int, ...]


class _Dict(OrderedDict[str, Any]):
    """Stands for a state dict, whose metadata torch sets as attributes."""


def torch_shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Name to shape of every tensor in a saved state dict.

    Args:
        path: What ``torch.save(model.state_dict(), path)`` wrote.

    Raises:
        CheckpointError: If the file is damaged, is not a dict of tensors, or names code.
    """
    try:
        state = _zipped(path) if is_zipped(path) else _legacy(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except CheckpointError:
        raise
    except EOFError as error:
        raise CheckpointError(f"{path}: cut off: it ends in the middle of its header") from error
    except Exception as error:  # a damaged pickle can raise anything at all
        raise CheckpointError(
            f"{path}: damaged or cut off: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(each, str) for each in state):
        raise CheckpointError(f"{path}: not a dict from names to tensors, as torch.save writes it")
    if odd := [name for name, value in state.items() if not isinstance(value, _Tensor)]:
        raise CheckpointError(
            f'{path}: "{odd[0]}" is not a tensor; save the model\'s state dict alone'
        )
    return {name: value.shape for name, value in state.items()}


def is_zipped(path: Path) -> bool:
    """Whether a file is a zip archive, judged as torch does: by its first bytes."""
    with path.open("rb") as stream:
        return stream.read(len(ZIP_MAGIC)) == ZIP_MAGIC


def _zipped(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
        if len(names) != 1:
            raise CheckpointError(f"{path}: a zip archive, but not one that torch.save wrote")
        content = archive.read(names[0])
    return _Reader(io.BytesIO(content), path).load()


def _legacy(path: Path) -> Any:
    """The fourth pickle of the file; magic number, version and system come before it."""
    with path.open("rb") as stream:
        start = stream.read(1)
        stream.seek(0)
        if start != pickle.PROTO or _Reader(stream, path).load() != LEGACY_MAGIC:
            raise CheckpointError(f"{path}: not a file that torch.save wrote")
        _Reader(stream, path).load()
        _Reader(stream, path).load()
        return _Reader(stream, path).load()


class _Reader(pickle._Unpickler):
    """Follows a pickle with stand-ins, and refuses every name that is not of a plain tensor.

    It is Python's own, not the one in C: there, one damaged number takes gigabytes.
    """

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        super().__init__(stream, encoding="utf-8")
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("collections", "OrderedDict"): _Dict,
            ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in STORAGES | DTYPES:
            return name
        if (module, name) == ("torch.storage", "UntypedStorage"):
            return name
        raise CheckpointError(
            f'{self.path}: refused: it would run "{module}.{name}" when it is opened\n'
            "  only plain state dicts of tensors are read"
        )

    def persistent_load(self, pid: Any) -> Any:
        """Storages are named, never read."""
        return pid


def _rebuild_tensor(storage: Any, offset: int, size: tuple[int, ...], *_: Any) -> _Tensor:
    del storage, offset
    return _Tensor(tuple(size))


def _rebuild_parameter(data: _Tensor, *_: Any) -> _Tensor:
    return data
