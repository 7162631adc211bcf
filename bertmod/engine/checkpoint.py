"""Checkpoints: everything that resuming needs, written so that a kill cannot spoil it."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer

from bertmod.data.durable import (
    OLD,
    WRITING,
    discard_folder,
    remove_folder,
    sync_folder,
    write_folder,
)
from bertmod.engine.parallel import Ranks
from bertmod.errors import CheckpointError
from bertmod.model.tensor_file import load_tensors, save_tensors

LOG = logging.getLogger("bertmod")
FORMAT_VERSION = 1
AVERAGE = "average.safetensors"
_NAME = re.compile(rf"(?:{re.escape(OLD)})?step-(\d+)")
_LEFT_OVER = re.compile(rf"(?:{re.escape(OLD)}|{re.escape(WRITING)})+step-\d+")


class DamagedCheckpointError(CheckpointError):
    """A checkpoint is not as it was written; an older one may be whole."""


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint in memory.

    Attributes:
        step: Optimizer steps finished.
        model: Every parameter and buffer by name, fp32 masters.
        optimizer: Optimizer tensors, ``parameter name/key``.
        state: JSON values: everything else.
        average: Averages of parameters by name; empty where nothing is averaged.
    """

    step: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    state: Mapping[str, Any]
    average: Mapping[str, Tensor] = field(default_factory=dict)


def save_checkpoint(folder: Path, snapshot: Snapshot, *, keep: int) -> Path:
    """Write a checkpoint, then remove all but the newest ``keep`` up to its step.

    What claims a later step is a damaged checkpoint that resuming passed over.

    Args:
        folder: Folder of all checkpoints of the run; exists.
        snapshot: What to write.
        keep: Checkpoints that stay, positive.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: If it cannot be written; older ones are intact.
    """
    target = folder / f"step-{snapshot.step:08d}"
    with write_folder(target) as writing:
        save_tensors(writing / "model.safetensors", snapshot.model)
        save_tensors(writing / "optimizer.safetensors", snapshot.optimizer)
        if snapshot.average:
            save_tensors(writing / AVERAGE, snapshot.average)
        state = json.dumps(snapshot.state, indent=1)
        (writing / "state.json").write_text(state, encoding="utf-8")
        _write_manifest(writing, snapshot.step)
    _rotate(folder, snapshot.step, keep=keep)
    return target


def load_newest(folder: Path) -> Snapshot | None:
    """The newest checkpoint that is whole; damaged ones are reported and passed over.

    Returns:
        The snapshot, or None if the run was stopped before its first checkpoint.

    Raises:
        CheckpointError: If there are checkpoints and none is whole, or one is of a newer format.
    """
    found = _newest_whole(folder)
    return None if found is None else found[1]


def resume_newest(folder: Path, *, keep: int) -> Snapshot | None:
    """``load_newest``, after which the folder is as if no kill had ever disturbed it.

    Args:
        folder: Folder of all checkpoints of the run, owned.
        keep: Checkpoints that stay, positive.

    Raises:
        CheckpointError: As ``load_newest``.
        OSError: If the folder cannot be put in order.
    """
    found = _newest_whole(folder)
    if found is None:
        return None
    path, snapshot = found
    if path.name.startswith(OLD):
        target = path.with_name(path.name.removeprefix(OLD))
        remove_folder(target)  # damaged, or it would have been taken
        path.rename(target)
        sync_folder(folder)
    _clear_left_over(folder, _kept(folder, snapshot.step, keep=keep))
    return snapshot


def snapshot_from_main(snapshot: Snapshot | None, ranks: Ranks) -> Snapshot | None:
    """What the main process read, for every process; their disks need not be the same."""
    if ranks.size == 1:
        return snapshot
    own = None if snapshot is None else (snapshot.step, dict(snapshot.state))
    plain = ranks.from_main(own)
    if plain is None:
        return None
    step, state = plain
    model, optimizer, average = (
        ranks.tensors_from_main(getattr(snapshot, part, None))
        for part in ("model", "optimizer", "average")
    )
    return Snapshot(step, model, optimizer, state, average)


def _newest_whole(folder: Path) -> tuple[Path, Snapshot] | None:
    found = _checkpoints(folder) if folder.is_dir() else []
    for _, path in found:
        try:
            return path, load_checkpoint(path)
        except DamagedCheckpointError as error:
            LOG.warning("%s; trying the one before", error)
    if found:
        raise CheckpointError(f"{folder}: none of its {len(found)} checkpoints is whole")
    return None


def load_checkpoint(path: Path) -> Snapshot:
    """Read one checkpoint and compare every file with the manifest.

    Raises:
        CheckpointError: If a file is missing, changed or of a newer format.
    """
    step, files = _read_manifest(path)
    try:
        for name, expected in files.items():
            if _hash(path / name) != expected:
                raise DamagedCheckpointError(f"{path / name}: not as it was written")
        return Snapshot(
            step=step,
            model=load_tensors(path / "model.safetensors"),
            optimizer=load_tensors(path / "optimizer.safetensors"),
            state=json.loads((path / "state.json").read_text(encoding="utf-8")),
            average=load_tensors(path / AVERAGE) if AVERAGE in files else {},
        )
    except DamagedCheckpointError:
        raise
    except (OSError, ValueError, CheckpointError) as error:
        raise DamagedCheckpointError(f"{path}: damaged checkpoint: {error}") from error


def optimizer_state(
    optimizer: Optimizer, names: Mapping[int, str]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Optimizer state by parameter name.

    Args:
        optimizer: Any optimizer that keeps its state in ``.state[parameter]``.
        names: ``id(parameter)`` to name.

    Returns:
        Tensors and plain values, both as ``parameter name/key``.
    """
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            target = tensors if isinstance(value, Tensor) else values
            target[f"{names[id(parameter)]}/{key}"] = value
    return tensors, values


def restore_optimizer(
    optimizer: Optimizer, state: Mapping[str, Any], names: Mapping[int, str]
) -> None:
    """Put optimizer state back by parameter name.

    Args:
        optimizer: A fresh optimizer over the same parameters.
        state: Tensors and plain values, ``parameter name/key``.
        names: ``id(parameter)`` to name.

    Raises:
        CheckpointError: If it belongs to parameters that the optimizer does not have.
    """
    own = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
    index = {name: place for place, name in enumerate(own)}
    entries: dict[int, dict[str, Any]] = {}
    for full_name, value in state.items():
        name, _, key = full_name.rpartition("/")
        if name not in index:
            raise CheckpointError(f"the checkpoint has optimizer state for {name}, unknown here")
        entries.setdefault(index[name], {})[key] = value
    # the optimizer's own loading knows which of its values belong on the parameter's device
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": entries, "param_groups": groups})
    _keep_dtypes(optimizer, {own[place]: entry for place, entry in entries.items()}, names)


def _keep_dtypes(
    optimizer: Optimizer, entries: Mapping[str, Mapping[str, Any]], names: Mapping[int, str]
) -> None:
    """Undo torch's cast of loaded state to the parameter's dtype: sums may be finer, counts int."""
    for parameter, state in optimizer.state.items():
        saved = entries.get(names[id(parameter)], {})
        for key, value in state.items():
            if isinstance(value, Tensor) and value.dtype != saved[key].dtype:
                state[key] = saved[key].to(value.device)


def restore_model(model: Module, tensors: Mapping[str, Tensor]) -> None:
    """Put every parameter and buffer back.

    Raises:
        CheckpointError: If names or shapes differ from the model's.
    """
    try:
        model.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"the checkpoint is of another model: {error}") from error


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of every checkpoint, newest first; ``.old-`` ones after their successor."""
    found = [
        (int(match.group(1)), path)
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name)) and path.is_dir()
    ]
    return sorted(found, key=lambda pair: (-pair[0], pair[1].name.startswith(OLD)))


def _rotate(folder: Path, newest: int, *, keep: int) -> None:
    """Leave the newest ``keep`` checkpoints up to a step, and nothing that a kill left over."""
    kept = _kept(folder, newest, keep=keep)
    for _, path in _checkpoints(folder):
        if path not in kept and not path.name.startswith(OLD):
            discard_folder(path)
    _clear_left_over(folder, kept)


def _kept(folder: Path, newest: int, *, keep: int) -> list[Path]:
    return [path for step, path in _checkpoints(folder) if step <= newest][:keep]


def _clear_left_over(folder: Path, kept: Sequence[Path]) -> None:
    for path in folder.iterdir():
        if path not in kept and _LEFT_OVER.fullmatch(path.name):
            remove_folder(path)


def _write_manifest(folder: Path, step: int) -> None:
    files = {path.name: _hash(path) for path in sorted(folder.iterdir())}
    manifest = {"format_version": FORMAT_VERSION, "step": step, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _read_manifest(path: Path) -> tuple[int, dict[str, str]]:
    """Step and file hashes of a checkpoint.

    Raises:
        DamagedCheckpointError: If they cannot be read.
        CheckpointError: If the format is newer.
    """
    try:
        manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        version, step = int(manifest["format_version"]), int(manifest["step"])
        files = {str(name): str(found) for name, found in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpointError(f"{path}: damaged checkpoint: no readable manifest") from error
    if version > FORMAT_VERSION:
        raise CheckpointError(
            f"{path}: checkpoint format {version}, but this bertmod reads up to {FORMAT_VERSION}\n"
            "  go on with the bertmod that wrote it, or a newer one"
        )
    return step, files


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
