"""Instances for pre-training, as ``bertmod pretraining-data`` writes them; memory-mapped.

A folder holds ``data.json`` and shards. A shard is a folder of ``.npy`` files:

``tokens``               pieces with [CLS] and [SEP], masked already where masking is static
``bounds``               where each row's tokens begin, (rows + 1,), int64
``first_lengths``        tokens of each row's first segment, [CLS] and [SEP] counted, (rows,), int32
``next_sentence_labels`` 1: the second segment is from elsewhere (nsp), or the two have changed
                         places (sop); (rows,), uint8; absent without next sentences
``masked_positions``     positions in their rows, ascending, (masked,), int32
``masked_labels``        the pieces that stood there, (masked,)
``masked_bounds``        where each row's masked positions begin, (rows + 1,), int64; the three are
                         absent where masking is dynamic
``continues``            whether a token goes on with a word, (tokens,), bool; where words came from
                         a segmenter

Pieces are uint16 where the vocabulary allows that, else int32.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bertmod.data.ragged import bounds_of, take_ragged
from bertmod.errors import DataError

HEADER_FILE = "data.json"
FORMAT = "bertmod pretraining data"
FORMAT_VERSION = 1

ROW_ARRAYS = ("first_lengths", "next_sentence_labels")
RAGGED_ARRAYS = {
    "tokens": "bounds",
    "continues": "bounds",
    "masked_positions": "masked_bounds",
    "masked_labels": "masked_bounds",
}
"""Array of runs to that of their bounds."""


@dataclass(frozen=True)
class PretrainingRows:
    """Rows of pre-training data in memory.

    Attributes:
        arrays: As in a shard, by name; bounds begin at 0.
    """

    arrays: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.arrays["bounds"]) - 1

    @classmethod
    def concatenate(cls, parts: Sequence[PretrainingRows]) -> PretrainingRows:
        """Rows one behind another; all parts have the same arrays."""
        return cls(_joined([dict(part.arrays) for part in parts]))

    def take(self, indices: np.ndarray) -> PretrainingRows:
        """Some of the rows, in this order.

        Args:
            indices: Which, (wanted,), int64.
        """
        return PretrainingRows(_taken(self.arrays, indices))

    def row(self, index: int) -> dict[str, np.ndarray]:
        """The arrays of one row: runs without their bounds, and single values.

        Args:
            index: Which row, from 0.
        """
        found = {name: self.arrays[name][index] for name in ROW_ARRAYS if name in self.arrays}
        for name, bounds in RAGGED_ARRAYS.items():
            if name in self.arrays:
                first, end = self.arrays[bounds][index : index + 2]
                found[name] = self.arrays[name][first:end]
        return found


class PretrainingData:
    """A folder of pre-training data, of which only what is read is in memory.

    Args:
        folder: The folder.

    Attributes:
        header: What ``data.json`` says.

    Raises:
        DataError: If there is none, it is of another version, or a file is missing or of another
            size than it should be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.header = read_header(folder)
        self._shards = self.header["shards"]
        self._first = bounds_of([shard["instances"] for shard in self._shards])
        for path, size, _ in _files(folder, self._shards):
            found = path.stat().st_size if path.is_file() else None
            if found != size:
                what = "missing" if found is None else f"{found:,} bytes, not {size:,}"
                raise DataError(f"{path}: {what}\n  make the data again")

    def __len__(self) -> int:
        return int(self._first[-1])

    @cached_property
    def _arrays(self) -> list[dict[str, np.ndarray]]:
        return [
            {
                name.removesuffix(".npy"): _mapped(self.folder / shard["name"] / name)
                for name in shard["files"]
            }
            for shard in self._shards
        ]

    def row_lengths(self) -> np.ndarray:
        """Tokens of each row, (rows,), int64."""
        lengths = [np.diff(arrays["bounds"]) for arrays in self._arrays]
        return np.concatenate(lengths) if lengths else np.zeros(0, np.int64)

    def take(self, indices: np.ndarray) -> PretrainingRows:
        """Some rows, in this order, in memory.

        Args:
            indices: Which rows, (wanted,), int64, in ``[0, rows)``.

        Raises:
            IndexError: If one is out of range.
        """
        indices = np.asarray(indices, np.int64)
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"rows 0 to {len(self) - 1}")
        shard_N = np.searchsorted(self._first, indices, side="right") - 1
        order = np.argsort(shard_N, kind="stable")
        parts = [
            _taken(self._arrays[shard], indices[order[shard_N[order] == shard]] - first)
            for shard, first in enumerate(self._first[:-1])
            if (shard_N == shard).any()
        ]
        if not parts:
            return PretrainingRows(_taken(self._arrays[0], indices))
        return PretrainingRows(_taken(_joined(parts), np.argsort(order)))

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """One row, as ``PretrainingRows.row`` gives it; memory-mapped."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        shard = bisect_right(self._first.tolist(), index) - 1
        return PretrainingRows(self._arrays[shard]).row(index - int(self._first[shard]))

    def verify(self) -> None:
        """Compare every file with its hash.

        Raises:
            DataError: If one differs or cannot be read.
        """
        for path, _, sha256 in _files(self.folder, self._shards):
            if hash_of(path) != sha256:
                raise DataError(f"{path}: is damaged: its SHA-256 is not that of {HEADER_FILE}")

    def require_vocabulary(self, sha256: str) -> None:
        """Refuse a vocabulary other than that of the data.

        Args:
            sha256: Hash of the vocabulary file that the data is to be read with.

        Raises:
            DataError: If it is another.
        """
        made_with = self.header["vocabulary"]
        if made_with["sha256"] != sha256:
            raise DataError(
                f"{self.folder}: made with another vocabulary ({self.header['vocab']}, "
                f"{made_with['size']:,} pieces)\n"
                "  use that one, or make the data again with bertmod pretraining-data"
            )


def read_header(folder: Path) -> dict[str, Any]:
    """What ``data.json`` of a folder says.

    Raises:
        DataError: If there is none, or it is not of this format and version.
    """
    path = folder / HEADER_FILE
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        kind, version = header["format"], header["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}: no pre-training data ({HEADER_FILE}: {error})\n"
            "  name a folder that bertmod pretraining-data wrote"
        ) from None
    if kind != FORMAT:
        raise DataError(f"{path}: {kind}, not {FORMAT}")
    if version != FORMAT_VERSION:
        raise DataError(
            f"{path}: version {version} of the format; this bertmod reads {FORMAT_VERSION}"
        )
    return dict(header)


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an ``.npy`` file; a full disk is an error that says so.

    Raises:
        OSError: If it cannot be written.
    """
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(array))
        )
        file.write(np.ascontiguousarray(array).data)  # tofile() would lose the reason
        file.flush()
        os.fsync(file.fileno())


def hash_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _files(folder: Path, shards: list[dict[str, Any]]) -> list[tuple[Path, int, str]]:
    """Path, bytes and hash of every file."""
    return [
        (folder / shard["name"] / name, file["bytes"], file["sha256"])
        for shard in shards
        for name, file in shard["files"].items()
    ]


def _mapped(path: Path) -> np.ndarray:
    try:
        mapped: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an empty array cannot be mapped
        mapped = np.load(path, allow_pickle=False)
    return mapped


def _taken(arrays: Mapping[str, np.ndarray], indices: np.ndarray) -> dict[str, np.ndarray]:
    taken = {name: np.asarray(arrays[name][indices]) for name in ROW_ARRAYS if name in arrays}
    for name, bounds in RAGGED_ARRAYS.items():
        if name in arrays:
            taken[name], taken[bounds] = take_ragged(arrays[name], arrays[bounds], indices)
    return taken


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of several shards as if of one."""
    if len(parts) == 1:
        return parts[0]
    return {
        name: bounds_of(np.concatenate([np.diff(part[name]) for part in parts]))
        if name in RAGGED_ARRAYS.values()
        else np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }
