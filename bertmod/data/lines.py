"""Lines of large text files: a block at a time, split at newlines alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from bertmod.errors import DataError

BLOCK_LINES = 16384
"""Lines decoded at once: enough to make the decoding fast, few enough to stay small."""

_MARK = b"\xef\xbb\xbf"
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_blocks(path: Path) -> Iterator[tuple[int, list[str]]]:
    r"""Lines of a UTF-8 file with or without byte-order mark, ending in ``\n`` or ``\r\n``.

    Other line separators of Unicode are part of the text. Empty lines at the end of the file are
    left out.

    Args:
        path: The file.

    Yields:
        The number of a block's first line, from 1, and the block's lines without their ends.

    Raises:
        DataError: If the file cannot be read or is not UTF-8; the message names line and byte.
    """
    number, held = 1, 0
    try:
        with path.open("rb") as file:
            for block in every_line(file, path):
                lines = [""] * held + block
                held = _trailing_empty(lines)
                lines = lines[: len(lines) - held]
                if lines:
                    yield number, lines
                number += len(lines)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def every_line(
    file: BinaryIO, title: Path | str, *, num_lines: int = BLOCK_LINES
) -> Iterator[list[str]]:
    """The lines of an open file in blocks, empty ones at its end included.

    Args:
        file: The file, at its beginning.
        title: What messages call it.
        num_lines: Lines of a block; the last one may have fewer.

    Raises:
        DataError: If a line is not UTF-8; the message names line and byte.
        OSError: If the file cannot be read.
    """
    number = 1
    while raw := list(islice(file, num_lines)):
        yield _decode(title, number, raw)
        number += len(raw)


def read_lines(path: Path) -> list[str]:
    """All lines of a file, as ``read_blocks`` gives them."""
    return [line for _, lines in read_blocks(path) for line in lines]


def _trailing_empty(lines: list[str]) -> int:
    count = 0
    while count < len(lines) and not lines[-1 - count]:
        count += 1
    return count


def _decode(title: Path | str, number: int, raw: list[bytes]) -> list[str]:
    """The lines of a block whose first line has this number."""
    if number == 1:
        raw[0] = raw[0].removeprefix(_MARK)
    try:
        text = b"".join(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise _not_utf8(title, number, raw) from None
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _not_utf8(title: Path | str, number: int, raw: list[bytes]) -> DataError:
    """The error for the first line of a block that cannot be decoded."""
    remedy = "save the file as UTF-8"
    if number == 1 and raw[0].startswith(_WIDE_MARKS):
        return DataError(f"{title}: the file is UTF-16, not UTF-8\n  {remedy}")
    for offset, line in enumerate(raw):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            place = f"line {number + offset}, byte {error.start + 1} of the line"
            return DataError(f"{title}, {place}: not UTF-8 (0x{line[error.start]:02x})\n  {remedy}")
    raise AssertionError("a block that cannot be decoded has a line that cannot")
