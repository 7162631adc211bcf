"""Delimited text that people bring: what it says, and what is wrong with it."""

from __future__ import annotations

import contextlib
import csv
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from bertmod.errors import DataError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""What may stand between cells where nobody says it, and how messages call it."""

_LOOKED_AT = 20
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}

Record = tuple[int, list[str]]


def read_text(path: Path, encoding: str | None) -> str:
    r"""A file's text, every line ending in ``\n`` alone.

    Args:
        path: The file.
        encoding: A name that Python knows; None: UTF-8 with or without byte-order mark.

    Raises:
        DataError: If the file cannot be read or is of another encoding; the message says which it
            looks like.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if encoding is None:
        _refuse_utf16(path, content)
    try:
        text = content.decode(encoding or "utf-8-sig")
    except UnicodeError as error:
        raise _undecodable(path, content, encoding, error) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _refuse_utf16(path: Path, content: bytes) -> None:
    """Find UTF-16 by its mark, or by the zero bytes that it has beside every ASCII letter."""
    found = _MARKS.get(content[:2], "")
    start = content[:2000]
    for name, places in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if not found and places.count(0) > len(start) / 8:
            found = name
    if found:
        raise DataError(
            f"{path}: the file is UTF-16, not UTF-8\n"
            f'  state "encoding": "{found}", or save the file as UTF-8'
        )


def _undecodable(
    path: Path, content: bytes, encoding: str | None, error: UnicodeError
) -> DataError:
    start = error.start if isinstance(error, UnicodeDecodeError) else 0
    line = content.count(b"\n", 0, start) + 1
    byte = f" (0x{content[start]:02x})" if content else ""
    if encoding is not None:
        return DataError(f"{path}, line {line}: not {encoding}{byte}\n  state its true encoding")
    guess = _likely_encoding(content)
    told = f"; it looks like {guess}" if guess else "; which encoding it has cannot be told"
    remedy = f'state "encoding": "{guess or "..."}", or save the file as UTF-8'
    return DataError(f"{path}, line {line}: not UTF-8{byte}{told}\n  {remedy}")


def _likely_encoding(content: bytes) -> str:
    """``cp1252`` for single accented letters between ASCII ones; several in a row say nothing."""
    high = [place for place, byte in enumerate(content[: 1 << 16]) if byte >= 0x80]
    lone = sum(
        content[place - 1 : place] < b"\x80" and content[place + 1 : place + 2] < b"\x80"
        for place in high
    )
    if 2 * lone < len(high):
        return ""
    try:
        content.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def records(path: Path, text: str, *, delimiter: str, quoting: bool) -> Iterator[Record]:
    """Number of the first line of each record, from 1, and its cells.

    Blank lines at the end are passed over, with quoting all blank lines.

    Args:
        path: The file, for messages.
        text: Its text, lines ending in newlines alone.
        delimiter: One character between cells.
        quoting: Whether a cell in double quotes may hold delimiters, line ends and doubled quotes;
            else a quotation mark is a character like any other.

    Raises:
        DataError: If a quotation mark does not close, or more follows it than a delimiter.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if not quoting:
        rows = ((number, line.split(delimiter)) for number, line in enumerate(lines, 1))
        last = max((number for number, line in enumerate(lines, 1) if line), default=0)
        yield from islice(rows, last)
        return
    yield from _quoted(path, lines, delimiter)


def _quoted(path: Path, lines: Sequence[str], delimiter: str) -> list[Record]:
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=True)
    found, first = list[Record](), 1
    with _unlimited_fields():
        try:
            for row in reader:
                if row:
                    found.append((first, row))
                first = reader.line_num + 1
        except csv.Error as error:
            raise _misquoted(path, first, reader.line_num, lines, str(error)) from None
    return found


def _misquoted(path: Path, first: int, last: int, lines: Sequence[str], what: str) -> DataError:
    remedy = (
        'a quotation mark inside a quoted cell is written twice (""); where quotation marks are '
        'plain characters, state "quoting": false'
    )
    if "unexpected end of data" in what:
        told = "a quotation mark that opens here does not close"
        return DataError(f"{path}, line {first}: {told}\n  {remedy}")
    if "new-line character" in what:
        told = "a carriage return without a line feed\n  save the file with line ends \\n or \\r\\n"
        return DataError(f"{path}, line {last}: {told}")
    begins = f" that begins in line {first}" if last != first else ""
    told = f"a cell{begins} goes on after its closing quotation mark"
    shown = lines[last - 1][:80]
    return DataError(f"{path}, line {last}: {told}\n  {shown}\n  {remedy}")


@contextlib.contextmanager
def _unlimited_fields() -> Iterator[None]:
    """Cells may be as long as they are: the module refuses those of more than 131,072 characters.

    The limit is one of the whole process; it is put back whatever happens in between.
    """
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def other_delimiter(text: str, used: str, *, quoting: bool) -> str | None:
    """The delimiter that a file seems to have in place of the one used; None if it is that.

    It cuts the header into more cells, and at least half of the first rows into as many.

    Args:
        text: The file's text.
        used: What is taken for its delimiter.
        quoting: Whether cells may stand in double quotes.
    """
    widths = {each: _widths(text, each, quoting=quoting) for each in {used, *DELIMITERS}}
    header = widths[used][0] if widths[used] else 0
    best, most = None, header
    for each, (width, *rest) in ((each, found) for each, found in widths.items() if found):
        if width > most and 2 * Counter(rest)[width] >= len(rest):
            best, most = each, width
    return best


def _widths(text: str, delimiter: str, *, quoting: bool) -> list[int]:
    """Cells of the first records; none where quotation marks stand in the way."""
    start = text.replace("\r", " ").split("\n", _LOOKED_AT + 1)[: _LOOKED_AT + 1]
    if not quoting:
        return [len(line.split(delimiter)) for line in start if line]
    with _unlimited_fields():
        return [len(row) for row in csv.reader(start, delimiter=delimiter) if row]
