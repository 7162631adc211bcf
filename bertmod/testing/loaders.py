"""What a checkpoint loader promises."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bertmod.contracts.checkpoint import CheckpointDescription
from bertmod.convert import convert
from bertmod.errors import BertmodError, CheckpointError
from bertmod.library import installed
from bertmod.plugins import Collection, Record, discover
from bertmod.registry import Registry
from bertmod.specs import LoaderSpec
from bertmod.testing.subject import Subject, located, require
from bertmod.wording import listed


def checkpoint_of(subject: Subject) -> Path:
    """The checkpoint that the author gave.

    Raises:
        AssertionError: If there is none.
    """
    source = subject.material.checkpoint
    if source is None:
        name = subject.spec.name
        raise AssertionError(f'it needs a checkpoint that it knows: checkpoint={{"{name}": path}}')
    return located(source)


def described(subject: Subject, path: Path) -> CheckpointDescription:
    """What the loader says of a checkpoint."""
    found: CheckpointDescription = subject.spec.describe(subject.config, str(path), None)
    return found


def foreign_paths(subject: Subject) -> None:
    """can_load gives None, and raises nothing, for what is not of its kind: no path, an empty
    folder, foreign or damaged files.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "empty").mkdir()
        for index, content in enumerate((b"", b"{", b"[1]", b"\x80\x02garbage", b"text\n")):
            other = folder / f"folder{index}"
            other.mkdir()
            for file in ("config.json", "model.safetensors", "pytorch_model.bin", "notes.txt"):
                (other / file).write_bytes(content)
        paths = [folder, *folder.iterdir(), folder / "absent", folder / "folder4" / "notes.txt"]
        for path in paths:
            reason = subject.spec.can_load(str(path))
            require(reason is None, f"it claims {path.relative_to(folder)}: {reason}")


def knows_its_own(subject: Subject) -> None:
    """can_load says in a sentence why a checkpoint of its kind is its, and no other loader that is
    installed claims the same path.
    """
    path = checkpoint_of(subject)
    reason = subject.spec.can_load(str(path))
    require(isinstance(reason, str) and reason.strip(), f"it does not know {path}")
    specs: list[Any] = [entry.spec for entry in installed().entries("loader")]
    others = [each.name for each in specs if each.name != subject.spec.name]
    claimed = [each.name for each in specs if each.name in others and each.can_load(str(path))]
    require(not claimed, f"{listed(claimed)} claims {path} too")


def description(subject: Subject) -> None:
    """describe names a format, files that exist, and an encoder, a tokenizer, adapters and heads
    that are installed, with valid options; twice the same.
    """
    path = checkpoint_of(subject)
    found, again = described(subject, path), described(subject, path)
    require(found == again, "describing the same checkpoint twice differs")
    require(found.format, "its description names no format")
    lost = [str(file) for file in found.files if not Path(file).is_file()]
    require(found.files and not lost, f"files are {found.files}; not there: {listed(lost)}")
    slots = [("encoder", found.encoder), ("tokenizer", found.tokenizer)]
    slots += [("adapter", slot) for slot in found.adapters]
    slots += [("head", slot) for slot in found.heads.values()]
    registry = installed()
    for kind, slot in slots:
        if slot is None:
            continue
        spec = registry.get(kind, slot["name"], near="bertmod").spec
        keys = {"name", *spec.slot_keys}
        options = {key: value for key, value in slot.items() if key not in keys}
        try:
            spec.config.model_validate(options, strict=False)
        except ValueError as error:
            raise AssertionError(f"the {kind} that it describes is not valid: {error}") from error


def stored_tensors(subject: Subject) -> None:
    """tensors gives every tensor with its name in the format and its shape; reading one gives that
    shape, floating, and the same values every time.
    """
    found = subject.spec.tensors(str(checkpoint_of(subject)))
    require(found, "it finds no tensor in its own checkpoint")
    names = [stored.name for stored in found.values()]
    twice = sorted({name for name in names if names.count(name) > 1})
    require(not twice, f"two tensors are called {listed(twice)}")
    for file_name, stored in found.items():
        value = stored.load()
        shape = tuple(value.shape)
        right = shape == tuple(stored.shape)
        require(right, f"{file_name} has shape {shape}, not {tuple(stored.shape)} as it said")
        require(torch.equal(value, stored.load()), f"{file_name} differs when read again")


def truncated_files(subject: Subject) -> None:
    """A truncated file raises CheckpointError and nothing else; a truncated file of tensors always
    does.
    """
    path = checkpoint_of(subject)
    files = sorted(described(subject, path).files, key=lambda file: Path(file).stat().st_size)
    for file in files:
        with _copy_of(path) as copy:
            target = copy / Path(file).relative_to(_root(path))
            target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])
            inside = copy / path.relative_to(_root(path))
            told = _outcome(subject, inside)
        require(told in ("", "CheckpointError"), f"with half of {Path(file).name} it raises {told}")
        if file == files[-1]:
            require(told, f"with half of {Path(file).name} it reads on as if nothing were missing")


def files_kept(subject: Subject) -> None:
    """Describing and reading write nothing beside or into the checkpoint."""
    path = checkpoint_of(subject)
    with _copy_of(path) as copy:
        inside = copy / path.relative_to(_root(path))
        before = _hashes(copy)
        subject.spec.can_load(str(inside))
        _outcome(subject, inside)
        require(_hashes(copy) == before, "files beside or in the checkpoint have changed")


def written_again(subject: Subject) -> None:
    """What it writes, if it has a writer, it knows and reads: the same encoder, tasks and label
    names, every tensor to the bit. It writes no README.md, which bertmod puts there.
    """
    if subject.spec.writer is None:
        return
    path, to, registry = checkpoint_of(subject), subject.spec.name, _registry_with(subject.spec)
    with tempfile.TemporaryDirectory(prefix="bertmod-conformance-") as name:
        first, second = Path(name, "first"), Path(name, "second")
        try:
            once = convert(path, first, to=to, loader=to, registry=registry)
            require(subject.spec.can_load(str(first)), "it does not know what it has written")
            again = convert(first, second, to=to, loader=to, registry=registry)
        except BertmodError as error:
            raise AssertionError(f"it cannot write its own checkpoint: {error}") from error
        require(once.tasks == again.tasks, f"of tasks {once.tasks} it reads {again.tasks}")
        told = "the encoder that it reads is not the one that it wrote"
        require(once.encoder_hash == again.encoder_hash, told)
        infos = [described(subject, folder).infos for folder in (first, second)]
        require(infos[0] == infos[1], f"of {infos[0]} it reads {infos[1]}")
        _require_equal(subject, first, second)


CHECKS = (
    foreign_paths,
    knows_its_own,
    description,
    stored_tensors,
    truncated_files,
    files_kept,
    written_again,
)


def _outcome(subject: Subject, path: Path) -> str:
    """Class and text of what reading a checkpoint to the end raises; empty if nothing."""
    try:
        described(subject, path)
        for stored in subject.spec.tensors(str(path)).values():
            value = stored.load()
            if tuple(value.shape) != tuple(stored.shape):
                return "nothing, but a tensor of another shape"
    except CheckpointError as error:
        require(str(error).strip(), "its CheckpointError has no text")
        return "CheckpointError"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _registry_with(spec: Any) -> Registry:
    """What is installed, with this loader in place of those of its name."""
    found = discover()
    same = [each for each in found.records if _is_called(each.spec, spec.name)]
    plugin = same[0].plugin if same else found.plugins[0]
    others = (each for each in found.records if each not in same)
    return Registry(Collection((*others, Record(spec, plugin)), found.plugins))


def _is_called(spec: Any, name: str) -> bool:
    return isinstance(spec, LoaderSpec) and spec.name == name


def _require_equal(subject: Subject, first: Path, second: Path) -> None:
    """Check that two checkpoints have the same tensors."""
    one, two = (
        {stored.name: stored.load() for stored in subject.spec.tensors(str(path)).values()}
        for path in (first, second)
    )
    unlike = sorted(one.keys() ^ two.keys())
    require(not unlike, f"{listed(unlike)} is in one of two copies alone")
    for name, tensor in one.items():
        require(torch.equal(tensor, two[name]), f"{name} has other values than it wrote")


def _root(path: Path) -> Path:
    """The folder that a checkpoint's files lie in."""
    return path if path.is_dir() else path.parent


@contextmanager
def _copy_of(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bertmod-conformance-") as name:
        yield Path(shutil.copytree(_root(path), Path(name) / "copy"))


def _hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
