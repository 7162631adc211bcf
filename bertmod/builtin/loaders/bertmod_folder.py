"""What bertmod's own runs leave behind: an encoder's folder, and one for each task beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bertmod import CheckpointDescription, CheckpointError, EmptyConfig, StoredTensor
from bertmod.builtin.loaders.container import stored_tensors
from bertmod.builtin.loaders.dialect import json_object
from bertmod.data.durable import existing_folder
from bertmod.model.record import (
    ENCODER_FILE,
    FORMAT,
    TASK_FILE,
    TENSOR_FILE,
    TaskRecord,
    read_encoder_record,
    read_task_record,
)

ENCODER = "encoder"
ENCODERS = "encoders"
INSIDE_RUN = (("best", "mean"), ("final",))
"""Where a run folder has its model; the first that is there counts."""

SKIPPED = {
    "adapters.*": "adapter that nobody asked for",
    "heads.*": "task head that nobody asked for",
}


def can_load(path: str) -> str | None:
    """Why a path is a model that bertmod wrote, or None."""
    if _encoder_of_task(Path(path)) is not None:
        return f"{TASK_FILE} says it is a task that bertmod trained"
    encoder = encoder_folder(Path(path))
    if encoder is None:
        return None
    return f"{(encoder / ENCODER_FILE).relative_to(path)} says it is bertmod's"


def describe(
    config: EmptyConfig, path: str, tasks: tuple[str, ...] | None
) -> CheckpointDescription:
    """What a folder of bertmod's has.

    Args:
        config: No options.
        path: A run folder (its best mean, else its final model), a model folder, an encoder's, or
            a task's, whose encoder lies where runs keep it.
        tasks: The tasks wanted; None for all that are there.

    Raises:
        CheckpointError: If a file is missing, damaged or of a newer format, if a task is not
            there, or if it was trained with another encoder.
    """
    del config
    encoder = _encoder(path)
    values = read_encoder_record(encoder)
    folders = _chosen(_task_folders(Path(path), encoder), tasks, path)
    records = {task: read_task_record(folder) for task, folder in folders.items()}
    for task, record in records.items():
        if record.encoder_hash != values["encoder_hash"]:
            raise CheckpointError(
                f'{folders[task]}: task "{task}" was trained with another '
                "encoder than the one beside it"
            )
    tokenizer, vocab = _tokenizer(encoder, values["tokenizer"])
    return CheckpointDescription(
        format=FORMAT,
        encoder=values["encoder"],
        tokenizer=tokenizer,
        adapters=_adapters(records),
        heads={task: record.head for task, record in records.items()},
        tasks=tuple(records),
        infos={task: record.info for task, record in records.items()},
        facts={task: _facts(record) for task, record in records.items()},
        encoder_hash=values["encoder_hash"],
        skipped=SKIPPED,
        files=(
            encoder / ENCODER_FILE,
            encoder / TENSOR_FILE,
            *vocab,
            *(folder / name for folder in folders.values() for name in (TASK_FILE, TENSOR_FILE)),
        ),
    )


def tensors(path: str) -> Mapping[str, StoredTensor]:
    """The tensors of a folder of bertmod's, by their canonical names.

    Raises:
        CheckpointError: If a file is missing or damaged.
    """
    encoder = _encoder(path)
    found = dict(_stored(encoder, {}))
    for task, folder in _task_folders(Path(path), encoder).items():
        prefixes = {"adapters.": f"adapters.{task}.", "head.": f"heads.{task}."}
        found.update(_stored(folder, prefixes))
    return found


def encoder_folder(path: Path) -> Path | None:
    """The encoder's folder of a run, model or task folder, or itself; None if there is none."""
    own = _encoder_of_task(path)
    if own is not None:
        return own if _is_encoder(own) else None
    places = [path, path / ENCODER]
    for inside in INSIDE_RUN:
        model = existing_folder(path.joinpath(*inside))
        if model is not None:
            places.append(model / ENCODER)
    return next(filter(_is_encoder, places), None)


def _is_encoder(folder: Path) -> bool:
    return (json_object(folder / ENCODER_FILE) or {}).get("format") == FORMAT


def _encoder_of_task(folder: Path) -> Path | None:
    """Where the encoder of a task's folder lies; None if it is no such folder."""
    hash_ = (json_object(folder / TASK_FILE) or {}).get("encoder_hash")
    if not isinstance(hash_, str):
        return None
    around = folder.absolute().parent
    if (around / ENCODER).is_dir():
        return around / ENCODER
    alone = around.parent / ENCODERS / hash_
    return existing_folder(alone) or alone


def _encoder(path: str) -> Path:
    folder, own = encoder_folder(Path(path)), _encoder_of_task(Path(path))
    if folder is None and own is not None:
        raise CheckpointError(
            f"{path}: the encoder that this task was trained with is not where its run had it\n"
            f"  looked for: {Path(path).absolute().parent / ENCODER}, {own}"
        )
    if folder is None:
        raise CheckpointError(
            f"{path}: no encoder that bertmod wrote there\n"
            f"  accepted: a run folder, a folder that has {ENCODER}/{ENCODER_FILE}, "
            "or that encoder folder itself"
        )
    return folder


def _task_folders(path: Path, encoder: Path) -> dict[str, Path]:
    """Folders of tasks by id: those beside an encoder, or the one that was named.

    An encoder folder of another name than a model's stands alone.
    """
    if _encoder_of_task(path) is not None:
        return {path.absolute().name: path}
    if encoder.name != ENCODER:
        return {}
    folders = sorted(file.parent for file in encoder.parent.glob(f"*/{TASK_FILE}"))
    return {folder.name: folder for folder in folders if not folder.name.startswith(".")}


def _chosen(folders: dict[str, Path], tasks: tuple[str, ...] | None, path: str) -> dict[str, Path]:
    if tasks is None:
        return folders
    if lacking := [task for task in tasks if task not in folders]:
        known = ", ".join(folders) or "none"
        raise CheckpointError(f'{path}: no task "{lacking[0]}" there\n  there: {known}')
    return {task: folders[task] for task in tasks}


def _tokenizer(encoder: Path, slot: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Path, ...]]:
    """The tokenizer slot with the path of its vocabulary made absolute."""
    name = slot.get("vocab")
    if not isinstance(name, str):
        return dict(slot), ()
    vocab = encoder / name
    if not vocab.is_file():
        raise CheckpointError(f"{encoder}: no {name} beside the weights")
    return {**slot, "vocab": str(vocab.absolute())}, (vocab,)


def _facts(record: TaskRecord) -> dict[str, Any]:
    """What a record says beside what every format can say."""
    values = asdict(record)
    return {key: values[key] for key in values if key not in ("id", "head", "adapters", "info")}


def _adapters(records: Mapping[str, TaskRecord]) -> tuple[dict[str, Any], ...]:
    """Adapter slots; tasks with the same options share one."""
    merged: list[tuple[dict[str, Any], list[str]]] = []
    for task, record in records.items():
        for slot in record.adapters:
            options = {key: value for key, value in slot.items() if key != "tasks"}
            for known, ids in merged:
                if known == options:
                    ids.append(task)
                    break
            else:
                merged.append((options, [task]))
    return tuple({**options, "tasks": ids} for options, ids in merged)


def _stored(folder: Path, prefixes: Mapping[str, str]) -> Mapping[str, StoredTensor]:
    """A file's tensors under names of the whole model."""

    def rename(name: str) -> str:
        return _renamed(name, prefixes)

    read: Sequence[StoredTensor] = tuple(
        stored_tensors(folder / TENSOR_FILE, rename=rename).values()
    )
    return {tensor.name: tensor for tensor in read}


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    for old, new in prefixes.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
