"""Rows drawn as google-research/bert draws them, number for number.

Everything comes from one generator, in the original's order, so that no part can be drawn before
another: one process plans the rows and masks them.

Source: google-research/bert create_pretraining_data.py (eedf571).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random
from typing import NamedTuple

import numpy as np

from bertmod.pretraining.job import Job
from bertmod.pretraining.rows import plan_file
from bertmod.pretraining.stored import (
    ORDER_FILE,
    POSITIONS_FILE,
    ROW,
    SHOWN_FILE,
    write_raw,
)

_TRIES = 10
_HELD_ROWS = 1 << 14


class Segment(NamedTuple):
    """A run of the corpus: its first piece, and how many."""

    start: int
    length: int


Planned = tuple[tuple[int, ...], list[tuple[int, int]]]
"""A row as ``ROW`` says, and its masks: positions in the row, and what stands there."""


def plan_as_google(job: Job, advance: Callable[[int], object]) -> None:
    """Write the rows of all documents in all passes, their masks and their order.

    Args:
        job: What is made.
        advance: Called with numbers of documents as a pass over them is done.

    Raises:
        OSError: If the files cannot be written.
    """
    draws, num_rows = Random(job.options.random_seed), 0
    planned = _Google(job, draws).all_rows(advance)
    positions, shown = (job.plan / name for name in (POSITIONS_FILE, SHOWN_FILE))
    aside = plan_file(job.plan, 0).with_suffix(".all")
    with aside.open("wb") as rows, positions.open("wb") as places, shown.open("wb") as pieces:
        while held := list(islice(planned, _HELD_ROWS)):
            num_rows += len(held)
            rows.write(np.array([row for row, _ in held], ROW).data)
            masks = np.array([mask for _, row in held for mask in row], np.int64).reshape(-1, 2)
            places.write(masks[:, 0].astype(np.int32).data)
            pieces.write(masks[:, 1].astype(job.dtype).data)
    order = array("q", range(num_rows))
    draws.shuffle(order)
    write_raw(job.plan / ORDER_FILE, np.frombuffer(order, np.int64))
    aside.rename(plan_file(job.plan, 0))


class _Google:
    def __init__(self, job: Job, draws: Random) -> None:
        self._options, self._pieces, self._draws = job.options, job.pieces, draws
        self._masking = job.options.mask_options
        self._max = job.options.max_pieces
        corpus = job.text
        self._tokens = corpus.tokens
        self._sentences = corpus.sentences.data
        self._bounds = corpus.documents.data
        self._documents = array("q", range(corpus.num_documents))

    def all_rows(self, advance: Callable[[int], object]) -> Iterator[Planned]:
        """Rows in the order in which the original makes them, before it shuffles them."""
        self._draws.shuffle(self._documents)
        for _ in range(self._options.dupe_factor):
            for place in range(len(self._documents)):
                yield from self._document(place)
                advance(1)

    def _document(self, place: int) -> Iterator[Planned]:
        draws, sentences = self._draws, self._sentences
        target = self._max
        if draws.random() < self._options.short_seq_prob:
            target = draws.randint(2, self._max)
        number = self._documents[place]
        begin, end = self._bounds[number], self._bounds[number + 1]
        at = begin
        while at < end:
            at += 1
            if at < end and sentences[at] - sentences[begin] < target:
                continue
            num_sentences, middle = at - begin, begin + 1
            if num_sentences >= 2:
                middle = begin + draws.randint(1, num_sentences - 1)
            first, is_random = self._run(begin, middle), False
            if num_sentences == 1 or draws.random() < 0.5:
                is_random = True
                second, at = self._elsewhere(place, target - first.length), middle
            else:
                second = self._run(middle, at)
            yield self._row(*self._cut(first, second), is_random=is_random)
            begin = at

    def _run(self, begin: int, stop: int) -> Segment:
        start = self._sentences[begin]
        return Segment(start, self._sentences[stop] - start)

    def _elsewhere(self, place: int, pieces: int) -> Segment:
        """Sentences of another document; of the same one where ten tries found no other."""
        for _ in range(_TRIES):
            other = self._draws.randint(0, len(self._documents) - 1)
            if other != place:
                break
        number = self._documents[other]
        begin, end = self._bounds[number], self._bounds[number + 1]
        begin += self._draws.randint(0, end - begin - 1)
        stop = begin + 1
        while stop < end and self._sentences[stop] - self._sentences[begin] < pieces:
            stop += 1
        return self._run(begin, stop)

    def _cut(self, first: Segment, second: Segment) -> tuple[Segment, Segment]:
        """The segments without what is too much, a coin tossed for each piece."""
        starts, lengths = [first.start, second.start], [first.length, second.length]
        while sum(lengths) > self._max:
            longer = 0 if lengths[0] > lengths[1] else 1
            starts[longer] += self._draws.random() < 0.5
            lengths[longer] -= 1
        return Segment(starts[0], lengths[0]), Segment(starts[1], lengths[1])

    def _row(self, first: Segment, second: Segment, *, is_random: bool) -> Planned:
        runs = [self._tokens[part.start : part.start + part.length] for part in (first, second)]
        # A place in the row for each piece, the special tokens left out.
        ids = dict(enumerate(runs[0].tolist(), 1))
        ids.update(enumerate(runs[1].tolist(), len(ids) + 2))
        masks = sorted(self._masks(ids, length=len(ids) + 3))
        row = 0, first.start, second.start, first.length, second.length, is_random, len(masks)
        return row, masks

    def _masks(self, ids: dict[int, int], *, length: int) -> list[tuple[int, int]]:
        """Positions and what stands there, in the order of their draws."""
        draws, units = self._draws, self._units(ids)
        draws.shuffle(units)
        wanted = int(self._masking.num_masked(np.array([length]))[0])
        found: list[tuple[int, int]] = []
        for unit in units:
            if len(found) >= wanted:
                break
            if len(found) + len(unit) <= wanted:
                found += [(position, self._shown(ids[position])) for position in unit]
        return found

    def _units(self, ids: dict[int, int]) -> list[list[int]]:
        """Positions that are masked together; a word goes on across [SEP], as in the original."""
        if not self._options.whole_word_mask:
            return [[position] for position in ids]
        units: list[list[int]] = []
        for position, piece in ids.items():
            if units and self._pieces.continues[piece]:
                units[-1].append(position)
            else:
                units.append([position])
        return units

    def _shown(self, piece: int) -> int:
        """What stands in a masked piece's place; drawn for each piece."""
        if self._draws.random() < 0.8:
            return self._pieces.mask
        if self._draws.random() < 0.5:
            return piece
        return self._draws.randint(0, self._pieces.size - 1)
