"""The folders that runs write and training can start from: an encoder, and one per task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from bertmod.model.canonical import encoder_hash
from bertmod.model.record import (
    ENCODER_FILE,
    FORMAT,
    FORMAT_VERSION,
    TASK_FILE,
    TENSOR_FILE,
    Slot,
    TaskRecord,
    read_task_record,
)
from bertmod.model.tensor_file import load_tensors, save_tensors


def write_encoder(
    folder: Path,
    tensors: Mapping[str, Tensor],
    *,
    encoder: Slot,
    tokenizer: Slot,
    files: Mapping[str, bytes],
    version: str,
    hash_: str | None = None,
) -> str:
    """Write an encoder with its tokenizer.

    Args:
        folder: Made if it is not there; files in it are overwritten.
        tensors: ``encoder.*`` to contiguous CPU tensors, fp32.
        encoder: Slot with every option.
        tokenizer: Slot with every option; paths in it are names among ``files``.
        files: Name to content of the tokenizer's files.
        version: Version of bertmod that writes.
        hash_: The tensors' ``encoder_hash`` if it is known already.

    Returns:
        The encoder's hash.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = encoder_hash(tensors) if hash_ is None else hash_
    for name, content in files.items():
        (folder / name).write_bytes(content)
    save_tensors(folder / TENSOR_FILE, tensors)
    values = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "bertmod_version": version,
        "encoder": dict(encoder),
        "tokenizer": dict(tokenizer),
        "encoder_hash": found,
    }
    _write_json(folder / ENCODER_FILE, values)
    return found


def write_task(
    folder: Path, record: TaskRecord, tensors: Mapping[str, Tensor], *, version: str
) -> None:
    """Write a task's adapters and head.

    Args:
        folder: Made if it is not there; files in it are overwritten.
        record: What ``task.json`` says.
        tensors: ``adapters.<id>.*`` and ``head.*`` to contiguous CPU tensors, fp32.
        version: Version of bertmod that writes.

    Raises:
        OSError: If the disk is full or the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_tensors(folder / TENSOR_FILE, tensors)
    _write_json(folder / TASK_FILE, record.to_json(version))


def read_task(folder: Path) -> tuple[TaskRecord, dict[str, Tensor]]:
    """A task's record, and its tensors ``adapters.<id>.*`` and ``head.*``, fp32.

    Raises:
        CheckpointError: If a file is missing or damaged, or of a newer format.
    """
    return read_task_record(folder), load_tensors(folder / TENSOR_FILE)


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
