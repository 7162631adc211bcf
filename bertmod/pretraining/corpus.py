"""Text files to slices that can be read on their own.

A file has a sentence a line, and a blank line between documents.
"""

from __future__ import annotations

import glob
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from bertmod.data.lines import every_line
from bertmod.errors import DataError

SLICE_BYTES = 4 << 20
"""Bytes of text that a process turns into pieces at once."""

BLOCK_BYTES = 1 << 17
"""Bytes read at once; the words of so much text fit into a processor's cache."""

LONGEST_LINE = 1 << 24
"""Bytes of a line from which it is no sentence but a mistake."""

_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Slice:
    """Whole lines of a file.

    Attributes:
        number: Its place in the corpus, from 0.
        path: The file.
        start: Byte at which it begins.
        end: Byte behind its last one; None: the end of the file, which is compressed.
    """

    number: int
    path: Path
    start: int
    end: int | None

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return (self.path.stat().st_size if self.end is None else self.end) - self.start


def corpus_files(
    patterns: Sequence[str], *, remedy: str = "--dupe-factor says how often text is used"
) -> list[Path]:
    """The files that names and glob patterns stand for, those of a pattern in order of name.

    Args:
        patterns: Names and patterns.
        remedy: What to do where a file is named twice.

    Raises:
        DataError: If one stands for nothing, is a folder, or a file is named twice.
    """
    files: list[Path] = []
    for pattern in patterns:
        exact = Path(pattern)
        is_glob = not exact.exists() and glob.has_magic(pattern)
        found = [Path(name) for name in sorted(glob.glob(pattern, recursive=True))]
        paths = [path for path in found if path.is_file()] if is_glob else [exact]
        if not paths:
            raise DataError(f"{pattern}: no file is called so")
        for path in paths:
            _require_readable(path)
        files += paths
    known: set[Path] = set()
    for path in files:
        if path.resolve() in known:
            raise DataError(f"{path}: is named twice\n  {remedy}")
        known.add(path.resolve())
    return files


def _require_readable(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path}: is a folder\n  name its files: '{path}/*.txt'")
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: no ordinary file, so that it can be read only once")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def slices(files: Sequence[Path]) -> list[Slice]:
    """Slices of files, at ends of lines; a compressed file is one.

    Raises:
        DataError: If a file cannot be read, or a line is longer than ``LONGEST_LINE``.
    """
    found: list[Slice] = []
    for path in files:
        ends: list[int | None] = [None] if _is_compressed(path) else list(_ends(path))
        start = 0
        for end in ends:
            found.append(Slice(len(found), path, start, end))
            start = end or 0
    return found


def line_blocks(part: Slice) -> Iterator[list[str]]:
    r"""The lines of a slice without blanks around them, some hundred kB at a time.

    Lines end at ``\n`` alone. An empty text is a blank line.

    Raises:
        DataError: If the file cannot be read or is not UTF-8, naming line and byte, or a line is
            longer than ``LONGEST_LINE``.
    """
    try:
        with _opened(part.path) as file:
            file.seek(part.start)
            for block in _blocks(file, part):
                yield _lines(block, part)
    except (OSError, EOFError) as error:  # a compressed file that is cut off, too
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{part.path}: cannot be read: {reason}") from error


def _lines(block: bytes, part: Slice) -> list[str]:
    try:
        text = block.decode()
    except UnicodeDecodeError:
        _tell_where(part.path)
        raise
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.strip() for line in lines]


def _tell_where(path: Path) -> None:
    """Raise the error that names line and byte of what is not UTF-8."""
    with _opened(path) as file:
        for _ in every_line(file, path):
            pass


def _blocks(file: BinaryIO, part: Slice) -> Iterator[bytes]:
    """Whole lines of an open file."""
    left = None if part.end is None else part.end - part.start
    held, is_first = b"", part.start == 0
    while chunk := file.read(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left)):
        left = None if left is None else left - len(chunk)
        if is_first:
            chunk, is_first = chunk.removeprefix(_MARK), False
        head, newline, tail = chunk.rpartition(b"\n")
        if newline:
            yield held + head + newline
            held = tail
        else:
            held += chunk
        if len(held) > LONGEST_LINE:
            raise _too_long(part.path)
    if held:
        yield held


def _ends(path: Path) -> Iterator[int]:
    """Where the slices of a file end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        end = 0
        while end < size:
            start, end = end, min(end + SLICE_BYTES, size)
            file.seek(end)
            while end < size and (chunk := file.read(BLOCK_BYTES)):
                place = chunk.find(b"\n")
                end += place + 1 if place >= 0 else len(chunk)
                if place >= 0:
                    break
                if end - start > LONGEST_LINE + SLICE_BYTES:
                    raise _too_long(path)
            yield end


def _too_long(path: Path) -> DataError:
    return DataError(
        f"{path}: a line of more than {LONGEST_LINE:,} bytes\n"
        "  the corpus has one sentence a line, and a blank line between documents"
    )


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if _is_compressed(path) else path.open("rb")


def _is_compressed(path: Path) -> bool:
    return path.suffix == ".gz"
