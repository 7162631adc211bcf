"""What is to be in each row: two runs of the corpus, before any piece is looked at.

Shape letters: L lanes, a lane being a pass over a document; S segments.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bertmod.data.random_bits import random_bits
from bertmod.pretraining.job import Job
from bertmod.pretraining.stored import ROW, Corpus

SLICE_PIECES = 1 << 20
"""Pieces whose documents a process plans at once."""

_LANES = 1 << 14
"""Passes over documents that are made side by side."""

_TARGET, _MIDDLE, _COIN, _DOCUMENT, _SENTENCE, _KEY, _CUT_FIRST, _CUT_SECOND = range(8)
"""What is drawn for a row, in the order of the counters."""

_DRAWS = 8
_BITS_OF_BYTE = np.array([byte.bit_count() for byte in range(256)], np.int64)


class Segments(NamedTuple):
    """Runs of the corpus: the first piece of each, and how many, (segments,), int64 each."""

    start: np.ndarray
    length: np.ndarray


@dataclass
class _Lanes:
    """Passes over documents that have not come to an end.

    Attributes:
        key: What their draws come from, uint64.
        document: Their documents, int64.
        begin: The next sentence, int64.
        end: The one behind the document's last, int64.
        target: Pieces that rows are to have, int64.
    """

    key: np.ndarray
    document: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    target: np.ndarray

    def kept(self, which: np.ndarray) -> _Lanes:
        """Some of the lanes."""
        return _Lanes(*(each[which] for each in vars(self).values()))


class Documents(NamedTuple):
    """Documents that are planned together.

    Attributes:
        number: Place of the group, from 0.
        first: The first document.
        end: The one behind the last.
    """

    number: int
    first: int
    end: int


def document_groups(corpus: Corpus) -> list[Documents]:
    """All documents in groups of about ``SLICE_PIECES`` pieces."""
    ends = corpus.sentences[corpus.documents[1:]]
    targets = np.arange(SLICE_PIECES, int(ends[-1]) + SLICE_PIECES, SLICE_PIECES)
    bounds = np.unique(np.minimum(np.searchsorted(ends, targets) + 1, len(ends)))
    pairs = pairwise([0, *bounds.tolist()])
    return [Documents(number, first, end) for number, (first, end) in enumerate(pairs)]


def plan_file(folder: Path, number: int) -> Path:
    """File of the planned rows of a group."""
    return folder / f"{number:06d}.rows"


def plan_documents(job: Job, group: Documents) -> int:
    """Write the planned rows of a group's documents, unless they are there.

    Args:
        job: What is made.
        group: The documents.

    Returns:
        The number of documents.

    Raises:
        OSError: If the file cannot be written.
    """
    path = plan_file(job.plan, group.number)
    if not path.exists():
        planner = Planner(job)
        aside = path.with_suffix(".all")
        with aside.open("wb") as file:
            for rows in planner.all_rows(group.first, group.end):
                file.write(rows.data)
        aside.rename(path)
    return group.end - group.first


class Planner:
    """Google's algorithm with draws by (seed, document, pass).

    Many passes over documents go on side by side, a row of each at a time. What one draws does
    not depend on the others.

    Args:
        job: What is made.
    """

    def __init__(self, job: Job) -> None:
        self._options = job.options
        self._corpus = job.text
        self._max = job.options.max_pieces

    def all_rows(self, first: int, end: int) -> Iterator[np.ndarray]:
        """Rows of some documents in all passes, as ``ROW`` says.

        Args:
            first: The first document.
            end: The one behind the last.
        """
        size = max(1, _LANES // self._options.dupe_factor)
        for start in range(first, end, size):
            lanes, step = self._begun(start, min(start + size, end)), 0
            while len(lanes.begin):
                rows, after = self._next_rows(lanes, step)
                yield rows
                lanes.begin, step = after, step + 1
                left = lanes.begin < lanes.end
                lanes = lanes if left.all() else lanes.kept(left)

    def _begun(self, first: int, end: int) -> _Lanes:
        """All passes over some documents, at their beginning."""
        num_passes, seed = self._options.dupe_factor, self._options.random_seed
        document_L = np.repeat(np.arange(first, end), num_passes)
        pass_L = np.tile(np.arange(num_passes), end - first)
        seeds = random_bits(np.array([seed % 2**64], np.uint64), np.array([seed >> 64]))
        key_L = random_bits(random_bits(seeds, document_L), pass_L)
        lanes = _Lanes(
            key=key_L,
            document=document_L,
            begin=self._corpus.documents[document_L],
            end=self._corpus.documents[document_L + 1],
            target=np.full(len(key_L), self._max),
        )
        is_short_L = _share(_draw(lanes, 0, _TARGET)) < self._options.short_seq_prob
        short_L = 2 + _below(_draw(lanes, 0, _COIN), np.full(len(key_L), self._max - 1))
        lanes.target = np.where(is_short_L, short_L, lanes.target)
        return lanes

    def _next_rows(self, lanes: _Lanes, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The next row of every lane, and the sentences that the lanes go on with."""
        step += 1  # the counters of step 0 chose the lengths
        kind, begin = self._options.next_sentence, lanes.begin
        stop = self._reach(begin, lanes.end, lanes.target)
        if kind == "none":
            nothing = Segments(begin * 0, begin * 0)
            first = self._cut(lanes, step, self._run(begin, stop), nothing)[0]
            return _rows(lanes, step, first, nothing, begin * 0), stop
        if kind == "sop":
            stop = np.minimum(np.maximum(stop, begin + 2), lanes.end)
        several = np.maximum(stop - begin - 1, 1)
        middle = begin + 1 + _below(_draw(lanes, step, _MIDDLE), several)
        middle = np.minimum(middle, stop)
        first = self._run(begin, middle)
        label = _share(_draw(lanes, step, _COIN)) < 0.5
        second = self._run(middle, stop)
        if kind == "sop":
            # A last sentence alone has none to change places with: it makes no row.
            pairs = np.flatnonzero(stop - begin > 1)
            swapped = _chosen(label, second, first), _chosen(label, first, second)
            first, second = self._cut(lanes, step, *swapped)
            return _rows(lanes, step, first, second, label)[pairs], stop
        label |= stop - begin == 1
        random = np.flatnonzero(label)
        other = self._elsewhere(lanes.kept(random), step, first.length[random])
        second.start[random], second.length[random] = other
        first, second = self._cut(lanes, step, first, second)
        # Sentences that made way for others come again.
        return _rows(lanes, step, first, second, label), np.where(label, middle, stop)

    def _reach(self, begin: np.ndarray, end: np.ndarray, pieces: np.ndarray) -> np.ndarray:
        """The sentences behind those that have so many pieces, or the documents' ends."""
        sought = self._corpus.sentences[begin] + np.maximum(pieces, 1)
        stop: np.ndarray = np.minimum(np.searchsorted(self._corpus.sentences, sought), end)
        return stop

    def _run(self, begin: np.ndarray, stop: np.ndarray) -> Segments:
        start = self._corpus.sentences[begin]
        return Segments(start, self._corpus.sentences[stop] - start)

    def _elsewhere(self, lanes: _Lanes, step: int, used: np.ndarray) -> Segments:
        """Sentences from a random place of another document on."""
        others = np.full(len(used), self._corpus.num_documents - 1)
        other = _below(_draw(lanes, step, _DOCUMENT), others)
        other += other >= lanes.document
        begin, end = self._corpus.documents[other], self._corpus.documents[other + 1]
        begin = begin + _below(_draw(lanes, step, _SENTENCE), end - begin)
        return self._run(begin, self._reach(begin, end, lanes.target - used))

    def _cut(
        self, lanes: _Lanes, step: int, first: Segments, second: Segments
    ) -> tuple[Segments, Segments]:
        """The segments without what is too much, from either end of the longer one."""
        excess = np.maximum(first.length + second.length - self._max, 0)
        lead = np.minimum(excess, np.abs(first.length - second.length))
        is_first = first.length > second.length
        half = (excess - lead) // 2  # where both are as long, the second is the first to lose
        from_first = half + np.where(is_first, lead, 0)
        return (
            _shorter(first, from_first, _draw(lanes, step, _CUT_FIRST)),
            _shorter(second, excess - from_first, _draw(lanes, step, _CUT_SECOND)),
        )


def _rows(
    lanes: _Lanes, step: int, first: Segments, second: Segments, label: np.ndarray
) -> np.ndarray:
    rows = np.zeros(len(label), ROW)
    rows["key"] = _draw(lanes, step, _KEY)
    rows["first"], rows["first_length"] = first
    rows["second"], rows["second_length"] = second
    rows["label"] = label
    return rows


def _draw(lanes: _Lanes, step: int, what: int) -> np.ndarray:
    """64 random bits for each lane, uint64."""
    return random_bits(lanes.key, np.array([step * _DRAWS + what]))


def _share(bits: np.ndarray) -> np.ndarray:
    """Random bits as numbers in ``[0, 1)``."""
    share: np.ndarray = (bits >> np.uint64(11)) * 2.0**-53
    return share


def _below(bits: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Random bits as whole numbers in ``[0, number)``, int64."""
    below: np.ndarray = (bits >> np.uint64(32)) * number.astype(np.uint64) >> np.uint64(32)
    return np.asarray(below, np.int64)


def _chosen(which: np.ndarray, yes: Segments, no: Segments) -> Segments:
    return Segments(*(np.where(which, a, b) for a, b in zip(yes, no, strict=True)))


def _shorter(segments: Segments, excess: np.ndarray, bits: np.ndarray) -> Segments:
    """Segments without so many pieces, each from the front or the back by the toss of a coin."""
    front, left, tosses = np.zeros_like(excess), np.flatnonzero(excess), 0
    while len(left):
        fair = random_bits(bits[left], np.array([tosses]))
        unused = np.maximum(64 - (excess[left] - 64 * tosses), 0).astype(np.uint64)
        heads = (fair >> unused).view(np.uint8).reshape(-1, 8)
        front[left] += _BITS_OF_BYTE[heads].sum(axis=1)
        tosses += 1
        left = left[excess[left] > 64 * tosses]
    return Segments(segments.start + front, segments.length - excess)
