"""The files of a checkpoint whose tensors are held in parts: each process writes its own.

torch's distributed checkpoints do the work, in their safetensors form: their other form keeps its
index in a pickle, which runs whatever code somebody put into it. A part knows its place in the
whole tensor, so that any number of processes can read what any other number wrote, and one
process alone everything.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor

from bertmod.engine.parallel import ALONE, Ranks
from bertmod.engine.sharding import is_sharded
from bertmod.errors import CheckpointError, RunFolderError

FILE_BYTES = 32 * 2**20
"""How much a process writes into a file, or one tensor: torch copies a file's tensors twice."""

Parts = Mapping[str, Mapping[str, Tensor]]
"""``model``, ``optimizer`` and ``average``; of the optimizer ``parameter name/key``, else names."""


def any_sharded(tensors: Iterable[Tensor]) -> bool:
    """Whether some of these tensors are held in parts."""
    return any(map(is_sharded, tensors))


def write_shards(folder: Path, parts: Parts, ranks: Ranks) -> None:
    """Write what this process holds of every tensor; all processes call it together.

    Args:
        folder: Existing folder, the same one for all.
        parts: What to write, with the same names in every process; what is not held in parts is
            alike in all of them and written once.
        ranks: The processes.

    Raises:
        OSError: In every process, if one of them cannot write.
        LostProcessError: If another process ended.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    named = {f"{part}/{name}": each for part in parts for name, each in parts[part].items()}
    tensors = dict(sorted(named.items()))  # what is whole goes to files in the order of names
    writer = HuggingFaceStorageWriter(
        str(folder), file_numbers(tensors, ranks.size), save_distributed=True
    )
    with _causes(), ranks.messages():
        save(tensors, storage_writer=writer)


def file_numbers(tensors: Mapping[str, Tensor], processes: int) -> dict[str, int]:
    """Which file of its process a tensor's part is in, from 1, by name.

    Args:
        tensors: What is written, in its order.
        processes: How many write, positive.
    """
    numbers, number, size = {}, 1, 0
    for name, each in tensors.items():
        if size and size + each.nbytes > FILE_BYTES * processes:
            number, size = number + 1, 0
        numbers[name] = number
        size += each.nbytes
    return numbers


def settle_headers(folder: Path) -> None:
    """Give equal tensors equal files: safetensors writes the notes in a header in any order.

    Args:
        folder: A folder that ``write_shards`` has filled; the main process alone calls this.
    """
    for path in folder.glob("*.safetensors"):
        with path.open("r+b") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size))
            header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
            ordered = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
            assert len(ordered) <= size
            stream.seek(8)
            stream.write(ordered.ljust(size))


def read_shards(
    folder: Path, like: Mapping[str, Tensor] | None = None, *, ranks: Ranks = ALONE
) -> dict[str, dict[str, Tensor]]:
    """Read the tensors of a folder that ``write_shards`` filled.

    Args:
        folder: The folder.
        like: Parameters by name, some of them held in parts; what has the name and shape of such a
            one comes back in the same parts, and all processes call this together. None: this
            process reads whole tensors alone, into host memory.
        ranks: The processes.

    Returns:
        The parts that were written, as far as they had any tensor.

    Raises:
        CheckpointError: If they cannot be read.
        LostProcessError: If another process ended.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = HuggingFaceStorageReader(str(folder))
    parameters = like or {}
    try:
        known: dict[str, Any] = dict(reader.read_metadata().state_dict_metadata)
        found = {
            key: _room(parameters.get(_parameter(key)), each.size, each.properties.dtype)
            for key, each in known.items()
        }
        with _causes(), ranks.messages(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")
            load(found, storage_reader=reader, no_dist=like is None)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: cannot be read: {error}") from error
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in found.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = value
    return parts


def require_reader(folder: Path) -> None:
    """Refuse a folder that ``write_shards`` filled if this torch is too old for it.

    Raises:
        CheckpointError: If it is.
    """
    if find_spec("torch.distributed.checkpoint.hf_storage") is None:
        raise CheckpointError(
            f'{folder}: was written under training.parallel "fsdp", which torch '
            f"{torch.__version__} cannot read\n  install a newer torch"
        )


def in_parts(parts: Parts, like: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Whole tensors, each held in the same parts as the parameter that it belongs to.

    Args:
        parts: Tensors that every process has whole.
        like: Parameters by name. What has another shape than its parameter, such as a count,
            stays whole, and so does what belongs to a whole one.
    """
    return {
        part: {
            name: _in_parts(each, like.get(_parameter(f"{part}/{name}")))
            for name, each in tensors.items()
        }
        for part, tensors in parts.items()
    }


def require_common_folder(folder: Path | None, ranks: Ranks) -> Path | None:
    """The main process's folder, for all of them, which must see it.

    Args:
        folder: A folder that the main process has made, if it has one; the others' is not looked
            at.
        ranks: All processes, which call this together.

    Raises:
        RunFolderError: In every process, if one of them does not see the folder.
    """
    place = ranks.from_main(None if folder is None else folder.absolute())
    if place is None:
        return None
    blind = [rank for rank, seen in enumerate(ranks.gathered(place.is_dir())) if not seen]
    if blind:
        raise RunFolderError(
            f"{place}: process {blind[0]} of {ranks.size} (from 0) does not see this folder\n"
            '  with training.parallel "fsdp" every process writes its part of a checkpoint: name '
            "a folder\n  on a disk that all machines have with --output"
        )
    return place


@contextmanager
def failing_together(ranks: Ranks) -> Iterator[None]:
    """An ``OSError`` of any process within the block becomes that of all, at its end."""
    own: OSError | None = None
    try:
        yield
    except OSError as error:
        own = error
    failures = [each for each in ranks.gathered(own) if each is not None]
    if failures:
        raise failures[0]


def _parameter(key: str) -> str:
    """Name of the parameter that ``part/name`` or ``optimizer/name/key`` belongs to."""
    part, _, name = key.partition("/")
    return name.rpartition("/")[0] if part == "optimizer" else name


def _room(own: Tensor | None, size: torch.Size, dtype: torch.dtype) -> Tensor:
    """Memory to read a tensor into."""
    if own is not None and is_sharded(own) and own.shape == size:
        return torch.empty_like(own, dtype=dtype, requires_grad=False)
    return torch.empty(size, dtype=dtype)


def _in_parts(value: Tensor, own: Tensor | None) -> Tensor:
    from torch.distributed.tensor import distribute_tensor

    if own is None or not is_sharded(own) or own.shape != value.shape:
        return value
    sharded = cast(Any, own)
    # no process sends anything: each takes its part of what it has
    return distribute_tensor(value, sharded.device_mesh, sharded.placements, src_data_rank=None)


@contextmanager
def _causes() -> Iterator[None]:
    """The error of the process that failed, instead of torch's collection of all of them."""
    from torch.distributed.checkpoint.api import CheckpointException

    try:
        yield
    except CheckpointException as error:
        causes = [cause for cause, _ in error.failures.values()]
        raise next((each for each in causes if isinstance(each, OSError)), causes[0]) from error
