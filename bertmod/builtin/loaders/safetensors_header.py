"""Names and shapes in a safetensors file, read from its header alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from bertmod import CheckpointError

LONGEST_HEADER = 100 * 1024 * 1024
WIDTHS = {
    **dict.fromkeys(("F64", "I64", "U64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1),
}
"""Bytes of a value of each kind that is known."""


def safetensors_shapes(path: Path) -> Mapping[str, tuple[int, ...]]:
    """Name to shape of every tensor.

    Args:
        path: A safetensors file.

    Raises:
        CheckpointError: If the file is shorter or longer than its header says, or has no header.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if size < 8 or length > min(LONGEST_HEADER, size - 8):
                raise CheckpointError(f"{path}: not a safetensors file, or cut off in its header")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        for name, entry in header.items():
            _check_entry(path, name, entry)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged header: {error}") from error
    if size != 8 + length + end:
        raise CheckpointError(
            f"{path}: damaged: {size:,} bytes long, but its header speaks of {8 + length + end:,}"
        )
    return shapes


def _check_entry(path: Path, name: str, entry: Mapping[str, list[int]]) -> None:
    begin, end = entry["data_offsets"]
    width = WIDTHS.get(str(entry["dtype"]))
    if width is not None and end - begin != width * math.prod(entry["shape"]):
        raise CheckpointError(f'{path}: damaged header: "{name}" has a length unlike its shape')
