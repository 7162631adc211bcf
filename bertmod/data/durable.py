"""Writing so that a kill at any instant leaves the old state or the new one, never half of it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

WRITING, OLD = ".writing-", ".old-"


def write_file(path: Path, content: bytes | str) -> None:
    """Replace a file's content in one instant, synced to disk."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f"{WRITING}{path.name}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:  # Ctrl-C leaves nothing behind either
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def write_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``target`` in one rename once the block ends.

    An existing target is moved to ``.old-NAME`` first and removed last, so that readers who find
    no target fall back to it. If the block raises, nothing has changed.

    Args:
        target: The folder to make or replace; its parent must exist.
    """
    writing = target.with_name(f"{WRITING}{target.name}")
    remove_folder(writing)
    try:
        writing.mkdir()
        yield writing
        for path in sorted(writing.rglob("*")):
            _sync(path)
        sync_folder(writing)
    except BaseException:
        remove_folder(writing)
        raise
    replace_folder(writing, target)


def replace_folder(source: Path, target: Path) -> None:
    """Let ``source`` take the place of ``target``; the old one is removed last."""
    old = target.with_name(f"{OLD}{target.name}")
    if target.exists():
        remove_folder(old)
        target.rename(old)
    source.rename(target)
    sync_folder(target.parent)
    remove_folder(old)


def discard_folder(target: Path) -> None:
    """Remove a folder so that no reader meets half of it."""
    old = target.with_name(f"{OLD}{target.name}")
    remove_folder(old)
    target.rename(old)
    sync_folder(target.parent)
    remove_folder(old)


def existing_folder(target: Path) -> Path | None:
    """``target``, or the ``.old-`` one that a kill left in its stead, or None."""
    old = target.with_name(f"{OLD}{target.name}")
    return next((path for path in (target, old) if path.is_dir()), None)


def remove_folder(path: Path) -> None:
    """Remove a folder and all in it; one that is not there is fine."""
    if path.exists():
        shutil.rmtree(path)


def sync_folder(path: Path) -> None:
    """Make renames inside a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    if path.is_dir():
        sync_folder(path)
        return
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
