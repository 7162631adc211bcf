"""Checkpoints: everything that resuming needs, written so that a kill cannot spoil it."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from bertmod.data.durable import (
    OLD,
    WRITING,
    discard_folder,
    remove_folder,
    sync_folder,
    write_folder,
)
from bertmod.engine.parallel import ALONE, Ranks
from bertmod.engine.sharded_files import (
    Parts,
    any_sharded,
    failing_together,
    in_parts,
    read_shards,
    require_common_folder,
    require_reader,
    settle_headers,
    write_shards,
)
from bertmod.errors import CheckpointError
from bertmod.model.tensor_file import load_tensors, save_tensors

LOG = logging.getLogger("bertmod")
WHOLE_VERSION, SHARDED_VERSION = 1, 2
"""Formats of checkpoints: a file for each kind of tensors, or a part of all by each process."""

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
        model: Every parameter and buffer by name, fp32 masters; like the other tensors spread
            over the processes where the run's are.
        optimizer: Optimizer tensors, ``parameter name/key``.
        state: JSON values: everything else.
        average: Averages of parameters by name; empty where nothing is averaged.
    """

    step: int
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    state: Mapping[str, Any]
    average: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def parts(self) -> Parts:
        """The tensors: ``model``, ``optimizer`` and ``average``."""
        return {"model": self.model, "optimizer": self.optimizer, "average": self.average}

    def holding(self, parts: Parts) -> Snapshot:
        """The same with these tensors."""
        model, optimizer, average = (parts.get(part, {}) for part in self.parts)
        return replace(self, model=model, optimizer=optimizer, average=average)


def save_checkpoint(
    folder: Path | None, snapshot: Snapshot, *, keep: int, ranks: Ranks = ALONE
) -> Path | None:
    """Write a checkpoint, then remove all but the newest ``keep`` up to its step.

    What claims a later step is a damaged checkpoint that resuming passed over. If the snapshot's
    tensors are held in parts, every process calls this, and writes its part of them.

    Args:
        folder: Folder of all checkpoints of the run; exists. None in all but the main process,
            or where nothing is kept.
        snapshot: What to write.
        keep: Checkpoints that stay, positive.
        ranks: The processes of the run.

    Returns:
        The checkpoint's folder; None where ``folder`` is.

    Raises:
        OSError: If it cannot be written, in every process that writes; older ones are intact.
        RunFolderError: If a process that is to write does not see the folder.
    """
    if any_sharded(snapshot.model.values()):
        with failing_together(ranks):
            return _save_sharded(folder, snapshot, keep=keep, ranks=ranks)
    if folder is None:
        return None
    target = _target(folder, snapshot)
    with write_folder(target) as writing:
        save_tensors(writing / "model.safetensors", snapshot.model)
        save_tensors(writing / "optimizer.safetensors", snapshot.optimizer)
        if snapshot.average:
            save_tensors(writing / AVERAGE, snapshot.average)
        _write_values(writing, snapshot, version=WHOLE_VERSION)
    _rotate(folder, snapshot.step, keep=keep)
    return target


def _save_sharded(
    folder: Path | None, snapshot: Snapshot, *, keep: int, ranks: Ranks
) -> Path | None:
    with ExitStack() as stack:
        writing = None
        with failing_together(ranks):
            if folder is not None:
                writing = stack.enter_context(write_folder(_target(folder, snapshot)))
        place = require_common_folder(writing, ranks)
        if place is None:
            return None
        write_shards(place, snapshot.parts, ranks)
        if writing is not None:
            settle_headers(writing)
            _write_values(writing, snapshot, version=SHARDED_VERSION)
    if folder is None:
        return None
    _rotate(folder, snapshot.step, keep=keep)
    return _target(folder, snapshot)


def load_newest(folder: Path) -> Snapshot | None:
    """The newest checkpoint that is whole; damaged ones are reported and passed over.

    Returns:
        The snapshot, or None if the run was stopped before its first checkpoint.

    Raises:
        CheckpointError: If there are checkpoints and none is whole, or one is of a newer format.
    """
    found = _newest_whole(folder)
    return None if found is None else found[1]


def resume_newest(
    folder: Path | None,
    *,
    keep: int,
    ranks: Ranks = ALONE,
    like: Mapping[str, Tensor] | None = None,
) -> Snapshot | None:
    """``load_newest`` for all processes, after which the folder is as if no kill had disturbed it.

    The main process chooses, and sends the others what it read: their disks need not be the same.
    Parts of a checkpoint that a run in parts goes on with are read by each process.

    Args:
        folder: Folder of all checkpoints of the run, owned; None in all but the main process, or
            where nothing is kept.
        keep: Checkpoints that stay, positive.
        ranks: The processes of the run.
        like: Parameters of the run by name; the tensors come back in parts where these are.

    Raises:
        CheckpointError: As ``load_newest``.
        OSError: If the folder cannot be put in order.
        RunFolderError: If a process that is to read does not see the folder.
    """
    like = like or {}
    sharded = any_sharded(like.values())
    found = None if folder is None else _put_in_order(folder, keep=keep, whole=not sharded)
    snapshot = snapshot_from_main(None if found is None else found[1], ranks)
    if snapshot is None or not sharded:
        return snapshot
    if snapshot.model:
        return snapshot.holding(in_parts(snapshot.parts, like))
    place = require_common_folder(None if found is None else found[0], ranks)
    assert place is not None
    return snapshot.holding(read_shards(place, like, ranks=ranks))


def _put_in_order(folder: Path, *, keep: int, whole: bool) -> tuple[Path, Snapshot] | None:
    """The newest whole checkpoint; its name, and what lies beside it, as they should be."""
    found = _newest_whole(folder, whole=whole)
    if found is None:
        return None
    path, snapshot = found
    if path.name.startswith(OLD):
        target = path.with_name(path.name.removeprefix(OLD))
        remove_folder(target)  # damaged, or it would have been taken
        path.rename(target)
        path = target
        sync_folder(folder)
    _clear_left_over(folder, _kept(folder, snapshot.step, keep=keep))
    return path, snapshot


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


def _newest_whole(folder: Path, *, whole: bool = True) -> tuple[Path, Snapshot] | None:
    found = _checkpoints(folder) if folder.is_dir() else []
    for _, path in found:
        try:
            return path, load_checkpoint(path, whole=whole)
        except DamagedCheckpointError as error:
            LOG.warning("%s; trying the one before", error)
    if found:
        raise CheckpointError(f"{folder}: none of its {len(found)} checkpoints is whole")
    return None


def load_checkpoint(path: Path, *, whole: bool = True) -> Snapshot:
    """Read one checkpoint and compare every file with the manifest.

    Args:
        path: The checkpoint's folder.
        whole: Whether tensors that several processes wrote are put together; else there are none
            in the snapshot, for ``read_shards`` to read.

    Raises:
        CheckpointError: If a file is missing, changed or of a newer format.
    """
    version, step, files = _read_manifest(path)
    if version == SHARDED_VERSION:
        require_reader(path)
    try:
        for name, expected in files.items():
            if _hash(path / name) != expected:
                raise DamagedCheckpointError(f"{path / name}: not as it was written")
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        snapshot = Snapshot(step, {}, {}, state)
        if version == SHARDED_VERSION:
            return snapshot.holding(read_shards(path)) if whole else snapshot
        return replace(
            snapshot,
            model=load_tensors(path / "model.safetensors"),
            optimizer=load_tensors(path / "optimizer.safetensors"),
            average=load_tensors(path / AVERAGE) if AVERAGE in files else {},
        )
    except DamagedCheckpointError:
        raise
    except (OSError, ValueError, CheckpointError) as error:
        raise DamagedCheckpointError(f"{path}: damaged checkpoint: {error}") from error


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


def _target(folder: Path, snapshot: Snapshot) -> Path:
    return folder / f"step-{snapshot.step:08d}"


def _write_values(folder: Path, snapshot: Snapshot, *, version: int) -> None:
    """Write what is no tensor, and last of all the manifest."""
    state = json.dumps(snapshot.state, indent=1)
    (folder / "state.json").write_text(state, encoding="utf-8")
    files = {path.name: _hash(path) for path in sorted(folder.iterdir())}
    manifest: dict[str, Any] = {"format_version": version, "step": snapshot.step, "files": files}
    manifest["digest"] = _digest(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _read_manifest(path: Path) -> tuple[int, int, dict[str, str]]:
    """Format, step and file hashes of a checkpoint.

    Raises:
        DamagedCheckpointError: If they cannot be read.
        CheckpointError: If the format is newer.
    """
    try:
        manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        expected = manifest.pop("digest", None)  # the first bertmod wrote none
        version, step = int(manifest["format_version"]), int(manifest["step"])
        files = {str(name): str(found) for name, found in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpointError(f"{path}: damaged checkpoint: no readable manifest") from error
    known = version > SHARDED_VERSION or manifest.keys() == {"format_version", "step", "files"}
    if not known or expected not in (None, _digest(manifest)):
        raise DamagedCheckpointError(f"{path / 'manifest.json'}: not as it was written")
    if version > SHARDED_VERSION:
        raise CheckpointError(
            f"{path}: checkpoint format {version}, but this bertmod reads up to {SHARDED_VERSION}\n"
            "  go on with the bertmod that wrote it, or a newer one"
        )
    return version, step, files


def _digest(manifest: Mapping[str, Any]) -> str:
    """Hash of what a manifest says."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode("utf-8")).hexdigest()


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
