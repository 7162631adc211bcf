"""Tensors of a TensorFlow checkpoint, read by TensorFlow one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertmod import CheckpointError
from bertmod.builtin.loaders.tensorflow_files import Found
from bertmod.builtin.loaders.tensorflow_index import read_index

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
"""Keep TensorFlow from talking about the machine while it is imported."""


def require_tensorflow(need: str) -> None:
    """Refuse to go on without TensorFlow, which is not imported yet.

    Args:
        need: What it is needed for, as a sentence begins.

    Raises:
        CheckpointError: If it is not installed.
    """
    if find_spec("tensorflow") is None:
        raise CheckpointError(_missing(need, "it is not installed"))


def load_tensorflow(need: str) -> Any:
    """The package ``tensorflow``, which takes seconds to import.

    Raises:
        CheckpointError: If it is not installed, or does not work.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import tensorflow
    except Exception as error:  # a library that does not suit it raises other kinds, too
        raise CheckpointError(_missing(need, _text(error))) from error
    return tensorflow


def shapes_and_files(found: Found) -> tuple[Mapping[str, tuple[int, ...]], tuple[Path, ...]]:
    """Name to shape of every tensor, and the files that hold them, all there and whole.

    Raises:
        CheckpointError: If a file is missing, damaged or cut off.
    """
    if found.first_format:
        return _first_shapes(found.prefix), (found.prefix,)
    if not found.index.is_file():
        raise CheckpointError(
            f"{found.index}: not there, though there are other files of that checkpoint\n"
            "  copy it beside them; without it nothing tells what they hold"
        )
    index = read_index(found.index)
    for shard, least in sorted(index.shards.items()):
        _check_shard(index.file(found.prefix, shard), least, found=found)
    files = (index.file(found.prefix, shard) for shard in sorted(index.shards))
    return index.shapes, (found.index, *files)


def tensor_reader(prefix: Path) -> Callable[[str], Tensor]:
    """Reads a tensor by its name in the file; opens the checkpoint with the first one."""
    import numpy as np

    @cache
    def reader() -> Any:
        return _opened(prefix)

    def read(name: str) -> Tensor:
        try:
            array = np.asarray(reader().get_tensor(name))
        except CheckpointError:
            raise
        except Exception as error:  # TensorFlow raises many kinds for damaged files
            raise CheckpointError(f'{prefix}: "{name}" cannot be read: {_text(error)}') from error
        return _tensor(array, f'{prefix}: "{name}"')

    return read


def _first_shapes(prefix: Path) -> Mapping[str, tuple[int, ...]]:
    shapes: Mapping[str, list[int]] = _opened(prefix).get_variable_to_shape_map()
    return {name: tuple(shape) for name, shape in shapes.items()}


def _check_shard(file: Path, least: int, *, found: Found) -> None:
    try:
        size = file.stat().st_size
    except OSError:
        raise CheckpointError(
            f"{file}: not there, but {found.index.name} needs it\n"
            "  copy every .data file of the checkpoint beside its .index file"
        ) from None
    if size < least:
        raise CheckpointError(
            f"{file}: cut off: {size:,} bytes long, but {found.index.name} speaks of {least:,}\n"
            "  copy the file again"
        )


def _opened(prefix: Path) -> Any:
    tensorflow = load_tensorflow(f"{prefix}: reading its tensors")
    try:
        return tensorflow.train.load_checkpoint(str(prefix))
    except Exception as error:  # TensorFlow raises many kinds for damaged files
        raise CheckpointError(f"{prefix}: damaged or cut off: {_text(error)}") from error


def _tensor(array: np.ndarray[Any, Any], what: str) -> Tensor:
    import numpy as np
    import torch

    if array.dtype.name == "bfloat16":  # numpy's is an addition that torch does not know
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    try:
        return torch.from_numpy(array)
    except TypeError:
        raise CheckpointError(
            f"{what} holds {array.dtype.name} values; parameters are floating-point numbers"
        ) from None


def _missing(need: str, why: str) -> str:
    return f'{need} takes TensorFlow: {why}\n  pip install "bertmod[tensorflow]"'


def _text(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
