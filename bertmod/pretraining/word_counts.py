"""How often each word of a corpus occurs, in bounded memory."""

from __future__ import annotations

import heapq
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path

from tokenizers import Tokenizer as Pipeline

from bertmod.errors import DataError, TrainingError
from bertmod.pretraining.corpus import corpus_files, line_blocks, slices
from bertmod.pretraining.progress import Progress, no_progress

HELD_TEXT = 1 << 24
"""Characters of text of which the different strings between blanks are held, before they are cut
into words."""

HELD_WORDS = 1 << 20
"""Different words that are held in memory; more go to a file."""

MOST_FILES = 64
"""Files of words that are open at once."""

AT_ONCE = 1024
"""Strings given to the library at once."""


class WordSplitter:
    """Text to words as a tokenizer sees them, before it cuts them into pieces.

    Args:
        pipeline: The tokenizer, as ``TokenizerSpec.pipeline`` gives it.
    """

    def __init__(self, pipeline: str) -> None:
        loaded = Pipeline.from_str(pipeline)
        self._normalizer, self._pre_tokenizer = loaded.normalizer, loaded.pre_tokenizer
        self.longest: int = loaded.model.max_input_chars_per_word
        """Characters of the longest word that is cut into pieces."""

    def counts(self, strings: Iterable[tuple[str, int]]) -> Counter[str]:
        """How often each word stands in strings without blanks, each of which occurs often.

        Args:
            strings: Strings and how often each occurs.
        """
        found: Counter[str] = Counter()
        given = list(strings)
        for start in range(0, len(given), AT_ONCE):
            some = given[start : start + AT_ONCE]
            # a blank stays a blank, and nothing looks past one
            text = self._normalizer.normalize_str(" ".join(string for string, _ in some))
            times = _Times(text, [count for _, count in some])
            for word, (begin, _) in self._pre_tokenizer.pre_tokenize_str(text):
                found[word] += times(begin)
        return found


class WordCounts:
    """Words and how often they occur; those that memory has no room for lie in files.

    Args:
        splitter: Cuts text into words.
        folder: Where files go; empty.
        held_words: Different words that are held in memory.
    """

    def __init__(
        self, splitter: WordSplitter, folder: Path, *, held_words: int = HELD_WORDS
    ) -> None:
        self._splitter, self._folder, self._held_words = splitter, folder, held_words
        self._strings: Counter[str] = Counter()
        self._words: Counter[str] = Counter()
        self._files: list[Path] = []
        self._num_files = self._held_text = 0
        self.num_words = 0
        """Words in all, those that are too long for pieces counted."""
        self.num_too_long = 0
        """Words in all that are too long for pieces."""

    def add(self, lines: Sequence[str]) -> None:
        """Count the words of lines.

        Raises:
            TrainingError: If the disk is full.
        """
        self._strings.update(chain.from_iterable(line.split(" ") for line in lines))
        self._held_text += sum(map(len, lines))
        if self._held_text >= HELD_TEXT:
            self.settle()

    def settle(self) -> None:
        """Take in what is left of the lines that were added.

        Raises:
            TrainingError: If the disk is full.
        """
        found = self._splitter.counts(self._strings.items())
        self._strings.clear()
        self._held_text = 0
        self.num_words += found.total()
        for word in [word for word in found if len(word) > self._splitter.longest]:
            self.num_too_long += found.pop(word)
        self._words.update(found)
        if len(self._words) > self._held_words:
            self._spill()

    def items(self) -> Iterator[tuple[str, int]]:
        """Words and how often they occur, by code points; not those that are too long."""
        if not self._files:
            return iter(sorted(self._words.items()))
        return _merged([*map(_read, self._files), iter(sorted(self._words.items()))])

    def commonest(self, most: int) -> list[tuple[str, int]]:
        """The words that occur most, those first; of equal ones the first by code points.

        Args:
            most: How many.
        """
        return heapq.nsmallest(most, self.items(), key=lambda item: (-item[1], item[0]))

    def _spill(self) -> None:
        """Move the words from memory to a file."""
        self._write(iter(sorted(self._words.items())))
        self._words.clear()
        if len(self._files) >= MOST_FILES:
            old, self._files = self._files, []
            self._write(_merged([_read(path) for path in old]))
            for path in old:
                path.unlink()

    def _write(self, items: Iterator[tuple[str, int]]) -> None:
        path = self._folder / f"{self._num_files:06d}"
        try:
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{word}\t{count}\n" for word, count in items)
        except OSError as error:
            raise no_room(path, error) from error
        self._num_files += 1
        self._files.append(path)


def count_words(
    corpus: Sequence[str],
    splitter: WordSplitter,
    folder: Path,
    *,
    progress: Progress = no_progress,
    held_words: int = HELD_WORDS,
) -> WordCounts:
    """Count the words of text files.

    Args:
        corpus: Names and glob patterns of UTF-8 files.
        splitter: Cuts text into words.
        folder: Where words go that memory has no room for; empty.
        progress: Shows how far it is.
        held_words: Different words that are held in memory.

    Raises:
        DataError: If a file cannot be read, is not UTF-8, or there is no word in any.
        TrainingError: If the disk is full.
    """
    files = corpus_files(corpus, remedy="name it once")
    parts = slices(files)
    counts = WordCounts(splitter, folder, held_words=held_words)
    with progress(sum(part.size for part in parts), "count words", unit="B") as advance:
        for part in parts:
            for lines in line_blocks(part):
                counts.add(lines)
            advance(part.size)
        counts.settle()
    if counts.num_words == counts.num_too_long:
        raise DataError(f"{', '.join(map(str, files[:4]))}: no words there")
    return counts


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for words that memory has no room for, removed with its block."""
    return tempfile.TemporaryDirectory(prefix="bertmod-words-")


def no_room(path: Path, error: OSError) -> TrainingError:
    """What to say of a file in a temporary folder that cannot be written."""
    return TrainingError(
        f"{path}: cannot be written: {error.strerror or error}\n  TMPDIR says where there is room"
    )


class _Times:
    """From a place in a text to how often the string occurs that stands there.

    Places must not fall.
    """

    def __init__(self, text: str, counts: Sequence[int]) -> None:
        self._text, self._counts = text, counts
        self._number, self._end = 0, self._next_blank(0)

    def __call__(self, place: int) -> int:
        while place > self._end:
            self._number += 1
            self._end = self._next_blank(self._end + 1)
        return self._counts[self._number]

    def _next_blank(self, start: int) -> int:
        found = self._text.find(" ", start)
        return len(self._text) if found < 0 else found


def _merged(streams: Sequence[Iterator[tuple[str, int]]]) -> Iterator[tuple[str, int]]:
    """Ascending streams of words as one, the counts of a word added up."""
    for word, same in groupby(heapq.merge(*streams), key=itemgetter(0)):
        yield word, sum(count for _, count in same)


def _read(path: Path) -> Iterator[tuple[str, int]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            word, _, count = line.rpartition("\t")
            yield word, int(count)
