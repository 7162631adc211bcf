"""Features kept between runs, found again by what they were made from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bertmod.errors import DataError

if TYPE_CHECKING:
    from bertmod.data.features import FeatureTable

_FORMAT = "3"
_MANIFEST = "manifest.json"
_WARNED = "warned"
_WRITING = ".writing-"
_ABANDONED_SECONDS = 24 * 3600.0
_BLOCK_BYTES = 1 << 20

_log = logging.getLogger("bertmod")
_hashes: dict[tuple[str, int, int], str] = {}


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    A file of the same path, size and time of change is read once per process.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        status = path.stat()
        key = str(path.resolve()), status.st_size, status.st_mtime_ns
        if key not in _hashes:
            with path.open("rb") as file:
                _hashes[key] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return _hashes[key]


def cached_features(
    cache: Path,
    *,
    files: Sequence[Path],
    key: Mapping[str, str],
    make: Callable[[], FeatureTable],
    warn_again: Callable[[], object] | None = None,
) -> FeatureTable:
    """Features from the cache, or made and put there; memory-mapped either way.

    Several processes may ask for the same features at once: each makes its own, the first to
    finish names the folder. A damaged entry is made again. A cache that cannot be written costs
    a warning, not the run.

    Args:
        cache: Folder of the cache, made if absent.
        files: The files that the features are made from; their content counts, not their names.
        key: All else that decides: the tokenizer's fingerprint, the task with its version and
            options, the longest row, whether malformed rows are errors.
        make: Makes the features.
        warn_again: Called in place of ``make`` where the cached features were made with warnings,
            to give these again; they name files, which the cache does not know.

    Raises:
        DataError: If one of ``files`` cannot be read.
    """
    entry = cache / _entry_name(files, key)
    found = _open(entry)
    if found is not None:
        if warn_again is not None and (entry / _WARNED).exists():
            warn_again()
        return found
    if entry.exists():
        _log.warning("%s: damaged cache entry, made again", entry)
    with _counted_warnings() as warnings:
        table = make()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        remove_abandoned(cache)
        _save(table, entry, warned=bool(warnings))
    except OSError as error:
        _log.warning("%s: features are not kept: %s", cache, error.strerror or error)
        return table
    return _open(entry) or table


@contextlib.contextmanager
def _counted_warnings() -> Iterator[list[str]]:
    """The messages of the warnings that are given within the block."""
    messages: list[str] = []

    class Counter(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    counter = Counter(logging.WARNING)
    _log.addHandler(counter)
    try:
        yield messages
    finally:
        _log.removeHandler(counter)


def _entry_name(files: Sequence[Path], key: Mapping[str, str]) -> str:
    made_from = [_FORMAT, sorted(key.items()), [file_hash(path) for path in files]]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:40]


def _open(entry: Path) -> FeatureTable | None:
    """The table of an entry; None if there is none or it is damaged."""
    from bertmod.data.features import FeatureTable  # with numpy, which hashing files does not need

    try:
        stated = json.loads((entry / _MANIFEST).read_text(encoding="utf-8"))
        return FeatureTable.open(entry) if stated == _checksums(entry) else None
    except (OSError, ValueError, DataError):
        return None


def _save(table: FeatureTable, entry: Path, *, warned: bool) -> None:
    """Write an entry aside, then give it its name."""
    aside = Path(tempfile.mkdtemp(prefix=_WRITING, dir=entry.parent))
    try:
        table.save(aside)
        if warned:
            (aside / _WARNED).touch()
        manifest = json.dumps(_checksums(aside), indent=1)
        (aside / _MANIFEST).write_text(manifest, encoding="utf-8")
        aside.chmod(0o755)
        _give_name(aside, entry)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _give_name(aside: Path, entry: Path) -> None:
    """Rename an entry into place, unless another process was quicker with a sound one."""
    try:
        aside.rename(entry)
    except OSError:
        if _open(entry) is not None:
            return
        damaged = Path(tempfile.mkdtemp(prefix=_WRITING, dir=entry.parent))
        with contextlib.suppress(FileNotFoundError):  # another process moved it away first
            entry.rename(damaged / entry.name)
        shutil.rmtree(damaged, ignore_errors=True)
        aside.rename(entry)


def _checksums(folder: Path) -> dict[str, list[int]]:
    """Size in bytes and CRC-32 of each file but the manifest."""
    return {
        path.name: _checksum(path) for path in sorted(folder.iterdir()) if path.name != _MANIFEST
    }


def _checksum(path: Path) -> list[int]:
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return [size, crc]


def remove_abandoned(cache: Path) -> None:
    """Remove ``.writing-*`` folders that processes that were killed left a day ago or earlier."""
    for path in cache.glob(f"{_WRITING}*"):
        with contextlib.suppress(OSError):
            if time.time() - os.stat(path).st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
