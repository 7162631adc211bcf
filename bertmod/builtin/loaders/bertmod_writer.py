"""A model folder of bertmod's own: an encoder's folder, and one for each task beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bertmod import CheckpointContent, CheckpointError, TaskInfo, __version__
from bertmod.model.card import loading_code
from bertmod.model.record import TaskRecord

if TYPE_CHECKING:
    from torch import Tensor

ENCODER = "encoder"


def write(content: CheckpointContent, folder: Path) -> str:
    """Fill an empty folder with a model.

    A task of which ``facts`` says no task slot keeps its head and its adapters: it can be trained
    from and converted, and answers nothing.

    Args:
        content: What to write, under canonical names.
        folder: The folder.

    Returns:
        How to load it, Markdown.

    Raises:
        CheckpointError: If a task is called like the encoder's folder.
        OSError: If the disk is full or the folder cannot be written.
    """
    from bertmod.model.folder import write_encoder, write_task

    if ENCODER in content.heads:
        raise CheckpointError(
            f'a task called "{ENCODER}" has no place beside the folder of that name\n'
            "  give it another id: --task ID"
        )
    tensors = {f"{ENCODER}.{name}": each for name, each in content.tensors[ENCODER].items()}
    hash_ = write_encoder(
        folder / ENCODER,
        tensors,
        encoder=content.encoder,
        tokenizer=content.tokenizer,
        files=content.files,
        version=__version__,
    )
    for task in content.heads:
        record = _record(content, task, hash_)
        write_task(folder / task, record, _task_tensors(content, task), version=__version__)
    answering = [task for task in content.heads if content.facts.get(task, {}).get("task")]
    return loading_code("{folder}", f"{{folder}}/{answering[0]}" if answering else "")


def _record(content: CheckpointContent, task: str, hash_: str) -> TaskRecord:
    facts = content.facts.get(task, {})
    return TaskRecord(
        id=task,
        adapters=content.adapters.get(task, ()),
        head=content.heads[task],
        info=content.infos.get(task, TaskInfo()),
        **{"task": {}, **facts, "encoder_hash": hash_},
    )


def _task_tensors(content: CheckpointContent, task: str) -> Mapping[str, Tensor]:
    """Tensors of a task's head and adapters under the names of its folder."""
    places = {f"heads.{task}": "head"}
    for slot in content.adapters.get(task, ()):
        places[f"adapters.{task}.{slot['id']}"] = f"adapters.{slot['id']}"
    return {
        f"{place}.{name}": tensor
        for component, place in places.items()
        for name, tensor in content.tensors[component].items()
    }
