"""Checkpoints in tar and zip archives, unpacked once into the user's cache."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import platformdirs

from bertmod import CheckpointError
from bertmod.data.cache import file_hash, remove_abandoned
from bertmod.data.durable import WRITING

TAR_SUFFIXES = (".tar.gz", ".tgz", ".tar")
SUFFIXES = (*TAR_SUFFIXES, ".zip")
MOST_MEMBERS = 1000
ADDED_BY_MACOS = "__MACOSX"

DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    ValueError,
    RuntimeError,
)
"""What Python's readers raise for archives that are damaged, encrypted or of an unknown kind."""


class Member(NamedTuple):
    """One file in an archive.

    Attributes:
        name: Its path in the archive, without a leading ``./``.
        size: Bytes.
        odd: What it is if it is no plain file: ``a link`` or ``a device``; else empty.
        key: What the archive calls it.
    """

    name: str
    size: int
    odd: str
    key: str


class Listing(NamedTuple):
    """What an archive holds, folders left out.

    Attributes:
        members: Its files, as far as they can be read; one too many where there are too many.
        damage: What is wrong with it; empty if nothing.
    """

    members: tuple[Member, ...]
    damage: str


def members(path: Path) -> tuple[str, ...]:
    """Names of the files in an archive, relative to the folder that ``unpacked`` would return.

    Args:
        path: Any path.

    Returns:
        Names with ``/`` between folders; those before the damage if the archive is damaged; empty
        for what is no archive.
    """
    if not is_archive(path):
        return ()
    try:
        found = _listing(path)
    except OSError:
        return ()
    names = tuple(member.name for member in found.members)
    top = _top(names)
    return tuple(name.removeprefix(f"{top}/") for name in names) if top else names


def is_archive(path: Path) -> bool:
    """Whether a path is a file with the name of an archive."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def unpacked(path: Path) -> Path:
    """The folder that holds an archive's files, unpacked into the user's cache if need be.

    The cache is keyed by the archive's SHA-256. Processes may call this at the same time, and may
    be killed: each unpacks aside, and the first to finish renames its folder into place.

    Args:
        path: A tar archive, with or without gzip, or a zip archive.

    Returns:
        The folder; where everything in the archive lies in a single folder, that one.

    Raises:
        CheckpointError: If the archive is damaged, has a member that would be written elsewhere or
            is no plain file, has more than 1,000 members, or if the cache cannot take it.
    """
    try:
        found = _listing(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    _refuse(path, found)
    target = _cache() / file_hash(path)
    if not _complete(target, found):
        _unpack(path, found, target)
    top = _top(tuple(member.name for member in found.members))
    return target / top if top else target


def _refuse(path: Path, found: Listing) -> None:
    """Raise for what must not be unpacked."""
    if len(found.members) > MOST_MEMBERS:
        raise CheckpointError(
            f"{path}: more than {MOST_MEMBERS:,} files in it; a checkpoint has a handful"
        )
    seen: set[str] = set()
    for member in found.members:
        name, parts = member.name, PurePosixPath(member.name).parts
        why = member.odd and f"is {member.odd}"
        if name.startswith("/") or ".." in parts or os.path.splitdrive(name)[0]:
            why = "would be written outside of the folder that it is unpacked into"
        elif name in seen:
            why = "is in it twice"
        if why:
            raise CheckpointError(
                f'{path}: refused: "{member.key}" {why}\n  only plain files inside are unpacked'
            )
        seen.add(name)
    if found.damage:
        raise CheckpointError(f"{path}: damaged or cut off: {found.damage}")
    if not found.members:
        raise CheckpointError(f"{path}: nothing in it")


def _listing(path: Path) -> Listing:
    """What is in an archive; one of the same size and time of change is read once per process."""
    status = path.stat()
    return _read_listing(path, status.st_size, status.st_mtime_ns)


@cache
def _read_listing(path: Path, size: int, changed: int) -> Listing:
    del size, changed
    listed: list[Member] = []
    try:
        for member in _tar_members(path) if _is_tar(path) else _zip_members(path):
            name = PurePosixPath(member.name)
            if name.parts[:1] != (ADDED_BY_MACOS,):
                listed.append(member._replace(name=str(name)))
            if len(listed) > MOST_MEMBERS:
                break
    except DAMAGE as error:
        return Listing(tuple(listed), str(error) or type(error).__name__)
    return Listing(tuple(listed), "")


def _is_tar(path: Path) -> bool:
    return path.name.lower().endswith(TAR_SUFFIXES)


def _tar_members(path: Path) -> Iterator[Member]:
    with _tar_stream(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        for info in archive:
            if not info.isdir():
                link = info.issym() or info.islnk()
                odd = "" if info.isreg() else "a link" if link else "a device"
                yield Member(info.name, info.size, odd, info.name)
        while stream.read(1 << 20):  # gzip compares its checksum at the very end
            pass


def _zip_members(path: Path) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                kind = stat.S_IFMT(info.external_attr >> 16)
                odd = "a link" if kind == stat.S_IFLNK else ""
                yield Member(info.filename, info.file_size, odd, info.filename)


@contextmanager
def _tar_stream(path: Path) -> Iterator[BinaryIO]:
    """The tar archive in a file, which gzip's first bytes tell to be compressed."""
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not compressed:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as stream:
            yield stream  # type: ignore[misc]


def _top(names: tuple[str, ...]) -> str:
    """The single folder that everything lies in; empty if there is none."""
    tops = {name.partition("/")[0] for name in names}
    return tops.pop() if len(tops) == 1 and all("/" in name for name in names) else ""


def _cache() -> Path:
    return Path(platformdirs.user_cache_dir("bertmod")) / "archives"


def _complete(target: Path, found: Listing) -> bool:
    """Whether every file is there in full; people clean caches by hand."""
    try:
        sizes = [(target / member.name).stat().st_size for member in found.members]
    except OSError:
        return False
    return sizes == [member.size for member in found.members]


def _unpack(path: Path, found: Listing, target: Path) -> None:
    cache_folder = target.parent
    try:
        cache_folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(cache_folder)
        _check_space(path, found, cache_folder)
        aside = Path(tempfile.mkdtemp(prefix=WRITING, dir=cache_folder))
        try:
            _extract(path, found, aside / target.name)
            _give_name(aside, target, found)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except DAMAGE as error:
        raise CheckpointError(f"{path}: damaged or cut off: {error}") from error
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be unpacked into {cache_folder}: {error.strerror or error}\n"
            "  make room or make it writable, set XDG_CACHE_HOME to another folder, or unpack the "
            "archive yourself and name the folder"
        ) from error


def _check_space(path: Path, found: Listing, cache_folder: Path) -> None:
    needed = sum(member.size for member in found.members)
    free = shutil.disk_usage(cache_folder).free
    if needed > free:
        raise CheckpointError(
            f"{path}: {needed:,} bytes once unpacked, but only {free:,} are free in {cache_folder}"
            "\n  make room, or set XDG_CACHE_HOME to another folder"
        )


def _extract(path: Path, found: Listing, folder: Path) -> None:
    """Unpack an archive that has nothing odd in it."""
    keys = [member.key for member in found.members]
    folder.mkdir()
    if not _is_tar(path):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder, keys)
    else:
        with _tar_stream(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            wanted = [info for info in archive if info.name in keys]
            archive.extractall(folder, wanted, filter="data")
    for file in folder.rglob("*"):
        if file.is_file():
            _sync(file)


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _give_name(aside: Path, target: Path, found: Listing) -> None:
    """Rename the folder into place, unless another process was quicker with a sound one."""
    if target.exists() and not _complete(target, found):
        with suppress(FileNotFoundError):  # another process moved it away first
            target.rename(aside / "damaged")
    try:
        (aside / target.name).rename(target)
    except OSError:
        if not _complete(target, found):
            raise
