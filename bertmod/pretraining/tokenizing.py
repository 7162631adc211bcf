"""A slice of the corpus to pieces in files."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertmod.contracts.tokenizer import PieceTable
from bertmod.data.durable import write_file
from bertmod.data.ragged import bounds_of
from bertmod.errors import DataError
from bertmod.pretraining.corpus import Slice, line_blocks
from bertmod.pretraining.job import Job
from bertmod.pretraining.stored import write_raw

Segmenter = Callable[[str], Sequence[str]]

COLUMNS: dict[str, type[np.integer]] = {"lengths": np.int32, "begins": np.uint8}
"""Columns per sentence: its pieces, and whether a blank line stands before it."""


def part_file(folder: Path, number: int, name: str) -> Path:
    """File of a column of a slice's part of the corpus."""
    return folder / f"{number:06d}.{name}"


def tokenize_slice(job: Job, part: Slice) -> int:
    """Write the pieces of a slice into files of its own, unless they are there.

    Args:
        job: What is made.
        part: The slice.

    Returns:
        Bytes of the slice in its file.

    Raises:
        DataError: If the slice cannot be read, or the segmenter does not give its words.
        OSError: If the files cannot be written.
    """
    report = part_file(job.corpus, part.number, "json")
    if not report.exists():
        found = _Part(job, part)
        for name, array in found.columns().items():
            write_raw(part_file(job.corpus, part.number, name), array)
        write_file(report, json.dumps(found.facts()))
    return part.size


class _Part:
    """The sentences of a slice."""

    def __init__(self, job: Job, part: Slice) -> None:
        self._path, self._dtype = part.path, job.dtype
        self._tokenizer, self._words = job.tokenizer, job.words
        self._unknown = job.tokenizer.special["[UNK]"]
        self._segmenter = load_segmenter(job.options.segmenter)
        self._begins_word = ~job.pieces.continues
        self._tokens: list[np.ndarray] = []
        self._continues: list[np.ndarray] = []
        self._lengths: list[np.ndarray] = []
        self._begins: list[np.ndarray] = []
        self._blank_before = False
        self._num_lines = self._num_words = self._num_unknown = self._num_without = 0
        self._longest = (0, 0)
        for lines in line_blocks(part):
            self._add(lines)

    def columns(self) -> dict[str, np.ndarray]:
        """The arrays of the part by name."""
        columns = {
            "tokens": np.concatenate([np.zeros(0, self._dtype), *self._tokens]),
            "lengths": np.concatenate([np.zeros(0, np.int32), *self._lengths]),
            "begins": np.concatenate([np.zeros(0, np.uint8), *self._begins]),
        }
        if self._segmenter is not None:
            columns["continues"] = np.concatenate([np.zeros(0, bool), *self._continues])
        return columns

    def facts(self) -> dict[str, Any]:
        """What is to be known of the part beside its arrays."""
        return {
            "path": str(self._path),
            "lines": self._num_lines,
            "blank_at_end": self._blank_before,
            "words": self._num_words,
            "unknown": self._num_unknown,
            "without_pieces": self._num_without,
            "longest": self._longest,
        }

    def _add(self, lines: list[str]) -> None:
        texts = [line for line in lines if line]
        tokens, length_N = self._pieces_of(texts)
        blank = np.array([not line for line in lines], bool)
        # Blank lines up to a line; a sentence begins a document if there are more of them than
        # up to the sentence before, lines without pieces being none.
        blanks_N = np.cumsum(blank)[~blank][length_N > 0]
        before_N = np.concatenate([[0], blanks_N[:-1]])[: len(blanks_N)]
        begins_N = blanks_N > before_N
        if len(begins_N):
            begins_N[0] |= self._blank_before
            self._blank_before = bool(blank.sum() > blanks_N[-1])
        else:
            self._blank_before |= bool(blank.any())
        if len(length_N) and int(length_N.max()) > self._longest[0]:
            worst = int(length_N.argmax())
            line = int(np.flatnonzero(~blank)[worst])
            self._longest = int(length_N[worst]), self._num_lines + line + 1
        self._num_lines += len(lines)
        self._num_words += int(self._begins_word[tokens].sum())
        self._num_unknown += int((tokens == self._unknown).sum())
        self._num_without += int((length_N == 0).sum())
        self._tokens.append(tokens)
        self._lengths.append(length_N[length_N > 0].astype(np.int32))
        self._begins.append(begins_N.astype(np.uint8))

    def _pieces_of(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of texts, and how many each has."""
        if self._segmenter is None:
            return self._words.pieces(texts)
        table = self._tokenizer.texts(texts)
        self._continues.append(self._word_parts(texts, table))
        return table.ids.astype(self._dtype), np.diff(table.bounds)

    def _word_parts(self, texts: Sequence[str], table: PieceTable) -> np.ndarray:
        """Whether a piece goes on with a word of the segmenter or of the tokenizer, bool."""
        assert self._segmenter is not None
        word_T = np.zeros(len(table.ids), np.int64)
        for number, text in enumerate(texts):
            words = list(self._segmenter(text))
            if "".join(words) != text:
                raise DataError(
                    f"{self._path}: the segmenter's words are not the text: {text[:40]!r} gave "
                    f"{words[:4]!r}\n  --segmenter names a function that gives a line's words, "
                    "blanks among them"
                )
            run = slice(int(table.bounds[number]), int(table.bounds[number + 1]))
            ends = bounds_of([len(word) for word in words])[1:]
            word_T[run] = np.searchsorted(ends, table.offsets[run, 0], side="right")
        goes_on_T = np.zeros(len(table.ids), bool)
        goes_on_T[1:] = word_T[1:] == word_T[:-1]
        goes_on_T |= ~self._begins_word[table.ids]
        starts = table.bounds[:-1][np.diff(table.bounds) > 0]
        goes_on_T[starts] = False
        return goes_on_T


def load_segmenter(name: str) -> Segmenter | None:
    """The function that ``--segmenter`` names; None if it names none.

    Args:
        name: ``MODULE:FUNCTION``, or nothing.

    Raises:
        DataError: If there is no such module or function.
    """
    if not name:
        return None
    module, _, function = name.partition(":")
    remedy = '\n  jieba:lcut is one for Chinese: pip install "bertmod[chinese]"'
    if not module or not function:
        raise DataError(f"--segmenter {name}: MODULE:FUNCTION is wanted{remedy}")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise DataError(f"--segmenter {name}: {error}{remedy}") from error
    if not callable(found):
        raise DataError(f"--segmenter {name}: is no function{remedy}")
    segmenter: Segmenter = found
    return segmenter
