"""Lines of text to rows of tokens, and which word of its line each token came from.

Shape letters: L lines, T tokens.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bertmod.contracts.tokenizer import PieceTable, RowTable, Tokenizer
from bertmod.data.lines import every_line
from bertmod.data.ragged import bounds_of
from bertmod.errors import DataError

STANDARD_INPUT = "-"
PAIR_MARK = " ||| "
NO_WORD = -1
"""Stands for the word of [CLS] and [SEP]."""

READ_LINES = 1024
"""Lines decoded at once."""

_WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class LineFile:
    """A file of lines, or standard input.

    Attributes:
        path: The file; None: standard input.
        num_lines: Its lines; None if that is not known before they are read.
        sha256: Hash of its bytes; empty if it is not known.
    """

    path: Path | None
    num_lines: int | None = None
    sha256: str = ""

    @classmethod
    def of(cls, name: str) -> LineFile:
        """A file that was read once already, so that its lines are known to be UTF-8.

        Args:
            name: Its path, or ``-``.

        Raises:
            DataError: If it cannot be read, can be read only once, is not UTF-8, or has no lines.
        """
        if name == STANDARD_INPUT:
            return cls(None)
        path = Path(name)
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataError(
                f"{path}: no ordinary file, so that it can be read only once\n"
                f"  give it as standard input: {STANDARD_INPUT} < {path}"
            )
        num_lines = sum(map(len, _blocks(path)))
        if not num_lines:
            raise DataError(f"{path}: has no lines")
        with path.open("rb") as file:
            return cls(path, num_lines, hashlib.file_digest(file, "sha256").hexdigest())

    @property
    def title(self) -> str:
        """What messages call it."""
        return "standard input" if self.path is None else str(self.path)

    def __iter__(self) -> Iterator[str]:
        r"""Its lines without their ends, ``\n`` or ``\r\n``; empty ones are lines, too.

        Raises:
            DataError: If it cannot be read or is not UTF-8.
        """
        if self.path is None:
            return chain.from_iterable(
                every_line(sys.stdin.buffer, self.title, num_lines=READ_LINES)
            )
        return chain.from_iterable(_blocks(self.path))


class LineParts(NamedTuple):
    """The texts of a line, and where in the line they begin.

    Attributes:
        first: The first text, or the only one.
        first_start: Character at which it begins.
        second: The second text; empty if there is none.
        second_start: Character at which it begins.
    """

    first: str
    first_start: int
    second: str
    second_start: int


@dataclass(frozen=True)
class LineTokens:
    """Rows of lines, one row a line.

    Attributes:
        rows: Token ids, segments and bounds.
        words: Index of the word of its line that each token came from, words being what blanks
            separate, as ``line.split()`` gives them; -1 for [CLS] and [SEP]; (tokens,), int32.
        word_starts: Character of the line at which that word begins, -1 likewise, (tokens,),
            int32.
        word_ends: Character behind its last one, -1 likewise, (tokens,), int32.
    """

    rows: RowTable
    words: np.ndarray
    word_starts: np.ndarray
    word_ends: np.ndarray


def windows(lines: Iterable[str], size: int) -> Iterator[list[str]]:
    """Lines in groups of ``size``, the last one perhaps smaller; no more are read ahead."""
    left = iter(lines)
    while window := list(islice(left, size)):
        yield window


def line_parts(line: str) -> LineParts:
    """The one or two texts of a line; the last `` ||| `` separates two.

    Source: read_examples of google-research/bert extract_features.py.
    """
    text = line.strip()
    start = len(line) - len(line.lstrip()) if text else 0
    cut = text.rfind(PAIR_MARK)
    if cut < 0:
        return LineParts(text, start, "", 0)
    behind = cut + len(PAIR_MARK)
    return LineParts(text[:cut], start, text[behind:], start + behind)


def tokenize_lines(tokenizer: Tokenizer, lines: Sequence[str], *, max_length: int) -> LineTokens:
    """Rows of lines as the encoder reads them, with the words that their tokens came from.

    Args:
        tokenizer: The tokenizer.
        lines: Lines; an empty one gives [CLS] [SEP].
        max_length: Longest row in tokens, special tokens counted, at least 2. The longer text of
            a pair loses tokens from its end, on a tie the second.
    """
    parts = [line_parts(line) for line in lines]
    table = tokenizer.texts([part.first for part in parts] + [part.second for part in parts])
    starts = np.array([part.first_start for part in parts] + [part.second_start for part in parts])
    # Rows of numbers in place of ids tell which piece each token is, whatever was cut off.
    first, second = _numbered(table, 0, len(lines)), _numbered(table, len(lines), 2 * len(lines))
    numbered = tokenizer.rows(first, second, max_length=max_length)
    ids_T = numbered.input_ids.copy()
    is_piece_T = ids_T < 0
    pieces = -1 - ids_T[is_piece_T]
    ids_T[is_piece_T] = table.ids[pieces]
    texts = np.searchsorted(table.bounds, pieces, side="right") - 1
    characters = starts[texts] + table.offsets[pieces, 0]
    columns = np.full((3, len(ids_T)), NO_WORD, np.int32)
    columns[:, is_piece_T] = _words_at(lines, texts % len(lines), characters)
    rows = replace(numbered, input_ids=ids_T)
    return LineTokens(rows, words=columns[0], word_starts=columns[1], word_ends=columns[2])


def _blocks(path: Path) -> Iterator[list[str]]:
    try:
        with path.open("rb") as file:
            yield from every_line(file, path, num_lines=READ_LINES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _numbered(table: PieceTable, first: int, end: int) -> PieceTable:
    """Texts of the table from ``first`` to before ``end``, -1 minus a piece's place as its id."""
    bounds = table.bounds[first : end + 1]
    pieces = slice(int(bounds[0]), int(bounds[-1]))
    return PieceTable(
        ids=-1 - np.arange(pieces.start, pieces.stop, dtype=np.int32),
        offsets=table.offsets[pieces],
        words=table.words[pieces],
        bounds=bounds - bounds[0],
    )


def _words_at(lines: Sequence[str], line_T: np.ndarray, character_T: np.ndarray) -> np.ndarray:
    """Number, start and end of the words that stand at characters of lines, (3, places), int64."""
    if not len(line_T):
        return np.zeros((3, 0), np.int64)
    last_L = np.full(len(lines), NO_WORD, np.int64)
    np.maximum.at(last_L, line_T, character_T)
    spans_L = [_spans(line, last) for line, last in zip(lines, last_L.tolist(), strict=True)]
    first_word_L = bounds_of([len(spans) for spans in spans_L])
    base_L = bounds_of([len(line) for line in lines])
    spans = np.array([span for spans in spans_L for span in spans], np.int64)
    line_of_word = np.repeat(np.arange(len(lines)), np.diff(first_word_L))
    starts = base_L[line_of_word] + spans[:, 0]
    word_T = np.searchsorted(starts, base_L[line_T] + character_T, side="right") - 1
    return np.stack([word_T - first_word_L[line_T], spans[word_T, 0], spans[word_T, 1]])


def _spans(line: str, last: int) -> list[tuple[int, int]]:
    """Where the words of a line begin and end, of those that begin no later than ``last``."""
    spans = (match.span() for match in _WORD.finditer(line))
    return list(takewhile(lambda span: span[0] <= last, spans))
