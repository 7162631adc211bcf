"""Files with a word and its tags on each line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bertmod import DataError, Role
from bertmod.builtin.tasks.tags.examples import TagExamples
from bertmod.builtin.tasks.tags.schemes import OUTSIDE
from bertmod.data.lines import read_blocks
from bertmod.wording import counted

DOCUMENT = "-DOCSTART-"
"""Begins a line that separates documents and has no word."""

_GAP = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class ConllFiles:
    """Column files: a line per word, an empty line between sentences.

    Columns are separated by spaces or tabs. Lines that begin with ``-DOCSTART-`` end a sentence
    and are no words.

    Attributes:
        word_column: Column of the word, from 0; negative ones count from the last.
        tag_column: Column of the tag, likewise.
        test_has_tags: Whether a test file has tags, too.
    """

    word_column: int = 0
    tag_column: int = -1
    test_has_tags: bool = False
    suffix = ".txt"

    def read(self, path: Path, role: Role, *, tagged: bool) -> TagExamples:
        """Sentences of a file; with the tags that stand there if ``tagged`` and there are any.

        Raises:
            DataError: If the file cannot be read, has no words, or a line has not as many
                columns as the first; the message names the line.
        """
        tagged = tagged and (role != "test" or self.test_has_tags)
        words: list[list[str]] = []
        tags: list[list[str]] = []
        lines: list[int] = []
        width, inside = 0, False
        for number, line in _lines(path):
            cells = _cells(line)
            if not cells:
                inside = False
                continue
            if not width:
                width = len(cells)
                word, tag = self._places(f"{path}, line {number}", width, tagged=tagged)
            if len(cells) != width:
                found = counted(len(cells), "column")
                raise DataError(f"{path}, line {number}: {found}, line {lines[0]} has {width}")
            if not inside:
                inside = True
                words.append([])
                tags.append([])
                lines.append(number)
            words[-1].append(cells[word])
            tags[-1].append(cells[tag])
        if not words:
            raise DataError(f"{path}: there are no words in it")
        ids = [str(number) for number in range(len(words))]
        return TagExamples(ids, words, tags if tagged else None, path, lines, line_per_word=True)

    def text(self, examples: TagExamples, tags: Sequence[Sequence[str]]) -> str:
        """The file that the sentences were read from, with predicted tags as a further column.

        Sentences from no file get a line per word: the word, its tag if it has one, the
        prediction.
        """
        if examples.path is None:
            return "".join(f"{line}\n" for line in _new_lines(examples, tags))
        given = (tag for each in tags for tag in each)
        written = []
        for _, line in _lines(examples.path):
            row = line.rstrip(" \t")
            if row:
                tag = next(given) if _cells(line) else OUTSIDE
                row += ("\t" if "\t" in row else " ") + tag
            written.append(f"{row}\n")
        return "".join(written)

    def _places(self, where: str, width: int, *, tagged: bool) -> tuple[int, int]:
        """Columns of word and tag, from 0, of a file of some width; without tag twice the word."""
        if tagged and width == 1:
            raise DataError(
                f"{where}: one column\n  a word and its tag are in two, with a space or a tab "
                "between them"
            )
        word = self._place(where, "word_column", width)
        if not tagged:
            return word, word
        tag = self._place(where, "tag_column", width)
        if word == tag:
            raise DataError(f"{where}: {width} columns; word_column and tag_column are the same")
        return word, tag

    def _place(self, where: str, option: str, width: int) -> int:
        column: int = getattr(self, option)
        if not -width <= column < width:
            count = counted(width, "column")
            raise DataError(f"{where}: {count}, so that there is no column {column} ({option})")
        return column % width


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for first, block in read_blocks(path):
        yield from enumerate(block, first)


def _cells(line: str) -> list[str]:
    """The cells of a word's line; none where a sentence ends."""
    text = line.strip(" \t")
    return _GAP.split(text) if text and not text.startswith(DOCUMENT) else []


def _new_lines(examples: TagExamples, tags: Sequence[Sequence[str]]) -> Iterator[str]:
    for sentence, given in enumerate(tags):
        right = [] if examples.tags is None else [examples.tags[sentence]]
        yield from map(" ".join, zip(examples.words[sentence], *right, given, strict=True))
        yield ""
