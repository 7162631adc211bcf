"""Folders of text files: what is in them, and what of it can be used."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from bertmod import DataError

SHOWN = 10
"""Names that a message lists before it counts the rest."""

_log = logging.getLogger("bertmod")


def subfolders(folder: Path) -> list[str]:
    """Names of the folders inside a folder, sorted, hidden ones left out; none if it is missing."""
    return [path.name for path in _inside(folder) if path.is_dir()]


def text_files(folder: Path) -> list[Path]:
    """The ``.txt`` files of a folder by name, hidden ones left out; none if it is missing."""
    return [path for path in _inside(folder) if path.suffix == ".txt" and not path.is_dir()]


def require_folders(folders: Sequence[Path], *, owner: str) -> None:
    """Check that folders are there.

    Args:
        folders: The folders.
        owner: Who reads them, for the message: ``task "reviews"``.

    Raises:
        DataError: If one is missing; names all that are, and what lies there instead.
    """
    missing = [folder for folder in folders if not folder.is_dir()]
    if not missing:
        return
    lines = [f"{folder}: no such folder, {owner} needs it" for folder in missing]
    for above in dict.fromkeys(_existing(folder.parent) for folder in missing):
        lines.append(f"{above} holds: {listed([path.name for path in _inside(above)])}")
    raise DataError("\n  ".join(lines))


def read_texts(paths: Sequence[Path], encoding: str) -> tuple[dict[Path, str], dict[Path, str]]:
    """Texts of files that can be used, and why the others cannot.

    Args:
        paths: The files.
        encoding: Their encoding.

    Returns:
        Path to text, and path to what is wrong with it: empty, or not of that encoding.

    Raises:
        DataError: If a file cannot be read at all.
    """
    texts: dict[Path, str] = {}
    malformed: dict[Path, str] = {}
    for path in paths:
        try:
            text = read_bytes(path).decode("utf-8-sig" if encoding == "utf-8" else encoding)
        except UnicodeError as error:
            malformed[path] = _undecodable(error, encoding)
            continue
        if text.strip():
            texts[path] = text
        else:
            malformed[path] = "the file is empty"
    return texts, malformed


def read_bytes(path: Path) -> bytes:
    """Content of a file.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def report_malformed(
    folder: Path, malformed: dict[Path, str], *, usable: int, strict: bool, hint: str
) -> None:
    """Warn of the files left out of a split, or refuse the split.

    Args:
        folder: The split's folder.
        malformed: Path to what is wrong with it.
        usable: Number of the other files.
        strict: Whether one malformed file is an error.
        hint: What to do about the error.

    Raises:
        DataError: If a file is malformed and ``strict`` is set, or if all of them are.
    """
    count = len(malformed)
    if not count:
        return
    lines = [f"{path.relative_to(folder).as_posix()}: {why}" for path, why in malformed.items()]
    more = [f"and {count - SHOWN} more"] if count > SHOWN else []
    shown = "".join(f"\n  {line}" for line in (*lines[:SHOWN], *more))
    files = "1 malformed file" if count == 1 else f"{count} malformed files"
    if not usable:
        raise DataError(f"{folder}: every file is malformed ({count}){shown}")
    if strict:
        raise DataError(f"{folder}: {files} of {count + usable}{shown}\n  {hint}")
    _log.warning("%s: left out %s of %d%s", folder, files, count + usable, shown)


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "nothing") + more


def _inside(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from error


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above that exists."""
    return next((each for each in (folder, *folder.parents) if each.is_dir()), folder)


def _undecodable(error: UnicodeError, encoding: str) -> str:
    if isinstance(error, UnicodeDecodeError) and error.start < len(error.object):
        byte = f"0x{error.object[error.start]:02x} at byte {error.start + 1}"
        return f"not {encoding.upper()} ({byte})"
    return f"not {encoding.upper()}"
