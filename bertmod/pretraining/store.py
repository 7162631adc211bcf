"""The corpus as pieces on disk: documents of sentences of pieces, memory-mapped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bertmod.data.durable import write_file
from bertmod.errors import DataError
from bertmod.pretraining.corpus import Slice
from bertmod.pretraining.job import Job
from bertmod.pretraining.stored import mapped
from bertmod.pretraining.tokenizing import COLUMNS, part_file

_FACTS = "corpus.json"
_BLOCK = 1 << 20


def corpus_facts(job: Job) -> dict[str, Any] | None:
    """What is known of the corpus; None while it is not whole."""
    path = job.corpus / _FACTS
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def join_parts(job: Job, parts: Sequence[Slice]) -> None:
    """Make one corpus of the parts of all slices, which are removed.

    A document ends at a blank line, and with its file unless draws are Google's: its program
    reads several files as if they were one.

    Args:
        job: What is made.
        parts: The slices, whose pieces are in their files.

    Raises:
        DataError: If no sentence is left.
        OSError: If the files cannot be written.
    """
    joint = _Joint(job)
    names = ["tokens", *(["continues"] if job.options.segmenter else [])]
    for part in parts:
        joint.add(part)
    joint.end()
    for name in names:
        with (job.corpus / name).open("wb") as file:
            for part in parts:
                _append(part_file(job.corpus, part.number, name), file)
    if not joint.num_sentences:
        raise DataError(f"{', '.join(_titles(parts))}: no text to make instances of")
    write_file(job.corpus / _FACTS, json.dumps(joint.facts, indent=2))
    for part in parts:
        for name in (*names, *COLUMNS, "json"):
            part_file(job.corpus, part.number, name).unlink()


def _append(path: Path, file: BinaryIO) -> None:
    with path.open("rb") as source:
        shutil.copyfileobj(source, file, _BLOCK)


def _titles(parts: Sequence[Slice]) -> list[str]:
    return list(dict.fromkeys(str(part.path) for part in parts))


@dataclass
class _Joint:
    """Bounds of sentences and documents, written as the parts come."""

    job: Job
    num_sentences: int = 0
    num_tokens: int = 0
    num_documents: int = 0
    num_words: int = 0
    num_unknown: int = 0
    num_without: int = 0
    num_cut: int = 0
    longest: tuple[int, str, int] = (0, "", 0)
    begins_next: bool = True
    path: Path | None = None
    lines_before: int = 0
    _files: dict[str, BinaryIO] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("sentences", "documents"):
            self._files[name] = (self.job.corpus / name).open("wb")

    def add(self, part: Slice) -> None:
        """Take in the sentences of a slice."""
        length_N, begins_N = (
            mapped(part_file(self.job.corpus, part.number, name), dtype)
            for name, dtype in COLUMNS.items()
        )
        facts = json.loads(part_file(self.job.corpus, part.number, "json").read_text())
        if part.path != self.path:
            self.path, self.lines_before = part.path, 0
            self.begins_next |= self.job.options.random != "google"
        if len(length_N):
            begins = begins_N.astype(bool)
            begins[0] |= self.begins_next
            self._write("documents", np.flatnonzero(begins) + self.num_sentences)
            self.num_documents += int(begins.sum())
            ends = np.cumsum(length_N, dtype=np.int64) + self.num_tokens
            self._write("sentences", ends - length_N)
            self.num_tokens = int(ends[-1])
            self.num_sentences += len(length_N)
            self.num_cut += int((length_N > self.job.options.max_pieces).sum())
            self.begins_next = facts["blank_at_end"]
        else:
            self.begins_next |= facts["blank_at_end"]
        self.num_words += facts["words"]
        self.num_unknown += facts["unknown"]
        self.num_without += facts["without_pieces"]
        pieces, line = facts["longest"]
        if pieces > self.longest[0]:
            self.longest = pieces, facts["path"], self.lines_before + line
        self.lines_before += facts["lines"]

    def end(self) -> None:
        """Write the last bounds."""
        self._write("sentences", np.array([self.num_tokens]))
        self._write("documents", np.array([self.num_sentences]))
        for file in self._files.values():
            file.close()

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "documents": self.num_documents,
            "sentences": self.num_sentences,
            "words": self.num_words,
            "pieces": self.num_tokens,
            "unknown_pieces": self.num_unknown,
            "lines_without_pieces": self.num_without,
            "sentences_too_long": self.num_cut,
            "longest_sentence": list(self.longest),
        }

    def _write(self, name: str, array: np.ndarray) -> None:
        self._files[name].write(array.astype(np.int64).data)
