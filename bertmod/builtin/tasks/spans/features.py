"""Questions and windows over their contexts as rows, made many at a time.

Letters: E examples, W windows, P pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from bertmod import DataError, Example, PieceTable, TaskContext
from bertmod.builtin.tasks.spans.config import NUM_MARKS, SpanConfig, min_length
from bertmod.builtin.tasks.spans.words import Words, locate
from bertmod.data.features import Column, FeatureTable
from bertmod.data.ragged import runs, take_pieces
from bertmod.data.windows import Windows, widest_context, windows

CHUNK = 4_000_000
"""Characters of contexts and questions whose windows are made at once: bounds the memory."""

NOWHERE = np.iinfo(np.int32).max
"""Position of an answer that was not found: beyond every row, so that it does not count."""


def span_features(
    examples: Sequence[Example], context: TaskContext, config: SpanConfig
) -> FeatureTable:
    """Windows over the contexts of questions, each behind its question.

    A question keeps its first ``max_query_length`` pieces; a context without pieces has no
    window. Host columns, for each piece of the context in the window: ``words``, its word, int32,
    and ``widest``, whether no other window shows more around it, bool.

    Args:
        examples: Questions, all with ``answers`` or all without.
        context: Tokenizer and longest row.
        config: How windows are laid.

    Returns:
        Positions ``start`` and ``end`` of the first answer where the examples have ``answers``,
        int64: 0, the place of [CLS], in a window that does not hold all of it and where there is
        no answer; ``NOWHERE`` for an answer that does not stand where it should.

    Raises:
        ValueError: If some examples have answers and some have none.

    Source: google-research/bert run_squad.py.
    """
    if len({"answers" in example for example in examples}) > 1:
        raise ValueError("examples of one batch all have answers or all have none")
    tables = [
        _Chunk(examples[part], context, config).table(part.start) for part in _parts(examples)
    ]
    return FeatureTable.concatenate(tables) if tables else FeatureTable.from_features(())


def _parts(examples: Sequence[Example]) -> Iterator[slice]:
    """Runs of examples that are made into features at once."""
    first, characters = 0, 0
    for place, example in enumerate(examples):
        characters += len(example["context"]) + len(example["question"])
        if characters > CHUNK and place > first:
            yield slice(first, place)
            first, characters = place, len(example["context"])
    if len(examples) > first:
        yield slice(first, len(examples))


class _Plan(NamedTuple):
    """Windows over a text, and for each of their pieces in turn whether they are its widest."""

    parts: Windows
    widest: np.ndarray


@dataclass(frozen=True)
class _Chunk:
    """Some examples on the way to features; each distinct context is cut into pieces once."""

    examples: Sequence[Example]
    context: TaskContext
    config: SpanConfig

    @cached_property
    def contexts(self) -> dict[str, int]:
        """Number of each distinct context."""
        distinct = dict.fromkeys(example["context"] for example in self.examples)
        return {text: number for number, text in enumerate(distinct)}

    @cached_property
    def context_E(self) -> np.ndarray:
        """The context of each example."""
        return np.array([self.contexts[each["context"]] for each in self.examples], np.int64)

    @cached_property
    def words(self) -> list[Words]:
        """Words of each distinct context."""
        return [Words(text) for text in self.contexts]

    @cached_property
    def pieces(self) -> PieceTable:
        """Pieces of each distinct context."""
        return self.context.tokenizer.words([words.texts for words in self.words])

    @cached_property
    def questions(self) -> PieceTable:
        """Pieces of each example's question, cut to their longest."""
        whole = self.context.tokenizer.texts([each["question"] for each in self.examples])
        lengths = np.minimum(np.diff(whole.bounds), self.config.max_query_length)
        return take_pieces(whole, whole.bounds[:-1], lengths)

    @cached_property
    def plans(self) -> list[_Plan]:
        """Windows of each example; those of texts and rooms of one length are alike."""
        num_E = np.diff(self.pieces.bounds)[self.context_E]
        room_E = self.context.max_length - NUM_MARKS - np.diff(self.questions.bounds)
        pairs = list(zip(num_E.tolist(), room_E.tolist(), strict=True))
        known = {pair: _plan(*pair, stride=self.config.doc_stride) for pair in set(pairs)}
        return [known[pair] for pair in pairs]

    def table(self, first: int) -> FeatureTable:
        """The features; the first example has the number ``first``."""
        example_W = np.repeat(
            np.arange(len(self.examples)), [len(plan.parts.starts) for plan in self.plans]
        )
        start_W = np.concatenate([plan.parts.starts for plan in self.plans])
        length_W = np.concatenate([plan.parts.lengths for plan in self.plans])
        query_W = np.diff(self.questions.bounds)[example_W]
        shown = take_pieces(
            self.pieces, self.pieces.bounds[:-1][self.context_E][example_W] + start_W, length_W
        )
        rows = self.context.tokenizer.rows(
            take_pieces(self.questions, self.questions.bounds[:-1][example_W], query_W),
            shown,
            max_length=self.context.max_length,
        )
        widest = np.concatenate([plan.widest for plan in self.plans])
        return FeatureTable(
            example=first + example_W,
            row_bounds=np.arange(len(rows) + 1),
            token_bounds=rows.bounds,
            tokens={"input_ids": rows.input_ids, "token_type_ids": rows.token_type_ids},
            positions=self._positions(example_W, start_W, length_W, query_W + NUM_MARKS - 1),
            host={
                "words": Column(shown.words, shown.bounds),
                "widest": Column(widest, shown.bounds),
                "truncated": Column(rows.truncated),
            },
        )

    def _positions(
        self, example_W: np.ndarray, start_W: np.ndarray, length_W: np.ndarray, shift_W: np.ndarray
    ) -> dict[str, Column]:
        """Where the answer stands in each window; ``shift_W`` tokens come before the context."""
        if "answers" not in self.examples[0]:
            return {}
        first_E, last_E = self._answers().T
        first_W, last_W = first_E[example_W], last_E[example_W]
        lost_W = first_W == NOWHERE
        inside_W = (first_W >= start_W) & (last_W < start_W + length_W) & (first_W <= last_W)
        return {
            name: Column(
                np.where(lost_W, NOWHERE, np.where(inside_W, piece_W - start_W + shift_W, 0))
            )
            for name, piece_W in (("start", first_W), ("end", last_W))
        }

    def _answers(self) -> np.ndarray:
        """First and last piece of each example's first answer; -1 where there is none.

        Returns:
            Counted from the first piece of the context, (examples, 2), int64.
        """
        texts = [each["answers"][0]["text"] if each["answers"] else "" for each in self.examples]
        wanted = self.context.tokenizer.texts(texts)
        found = np.full((len(self.examples), 2), -1, np.int64)
        for place, example in enumerate(self.examples):
            if example["answers"]:
                ids = wanted.ids[wanted.bounds[place] : wanted.bounds[place + 1]]
                found[place] = self._answer(example, int(self.context_E[place]), ids)
        return found

    def _answer(self, example: Example, number: int, ids: np.ndarray) -> tuple[int, int]:
        """First and last piece of an answer: its words, or what of them is exactly its pieces."""
        between = locate(self.words[number], example["context"], example["answers"][0])
        if between is None:
            return NOWHERE, NOWHERE
        part = slice(self.pieces.bounds[number], self.pieces.bounds[number + 1])
        word_P = self.pieces.words[part]
        first, end = np.searchsorted(word_P, [between[0], between[1] + 1]).tolist()
        given, wanted = self.pieces.ids[part][first:end].tolist(), ids.tolist()
        for start in range(len(given) - len(wanted) + 1 if wanted else 0):
            if given[start : start + len(wanted)] == wanted:
                return first + start, first + start + len(wanted) - 1
        return first, end - 1


def _plan(num_pieces: int, room: int, *, stride: int) -> _Plan:
    parts = windows(num_pieces, room=room, stride=stride)
    window_P = np.repeat(np.arange(len(parts.starts)), parts.lengths)
    return _Plan(parts, widest_context(parts)[runs(*parts)] == window_P)


def require_room(context: TaskContext, config: SpanConfig) -> None:
    """Refuse rows that a question may fill, so that nothing of the text is seen.

    Raises:
        DataError: If the longest row is too short.
    """
    needed = min_length(config)
    if context.max_length < needed:
        raise DataError(
            f'task "{context.id}": rows of {context.max_length} tokens have no room for a text '
            f"behind a question of {config.max_query_length} pieces"
            f"\n  set max_length to {needed} or more, or max_query_length to less"
        )
