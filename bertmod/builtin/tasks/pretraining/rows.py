"""Rows of instances with their masks, as features.

Shape letters: N rows, T tokens of all rows, M masked tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bertmod.data.features import Column, FeatureTable
from bertmod.data.masking import Masking, MaskPieces, Masks, choose_masks
from bertmod.data.pretraining_files import PretrainingData, PretrainingRows
from bertmod.data.ragged import runs
from bertmod.data.random_bits import random_bits

ChooseMasks = Callable[..., Masks]
"""Chooses masks as ``choose_masks`` does, with the same arguments: by each row's key alone."""

MASKED = ("masked_positions", "masked_labels", "masked_bounds")


@dataclass(frozen=True)
class Masker:
    """Puts masks into rows.

    Attributes:
        masking: How much is masked.
        pieces: The vocabulary.
        choose: Chooses the masks.
        seed: Which draws, from 0 to 2**63 - 1.
        fresh: Whether each pass over the data has masks of its own, also where there are some in
            the data; else every pass has the same, those of the data if it has any.
    """

    masking: Masking
    pieces: MaskPieces
    choose: ChooseMasks = choose_masks
    seed: int = 0
    fresh: bool = False

    def __call__(
        self, rows: PretrainingRows, row_N: np.ndarray, turn_N: np.ndarray, *, corpus: int
    ) -> PretrainingRows:
        """Rows with masks, their arrays as in a folder where masking is static.

        Args:
            rows: Rows of a corpus.
            row_N: Which they are, (rows,), int64.
            turn_N: How often each was seen before, (rows,), int64.
            corpus: Which corpus, from 0.
        """
        arrays = {name: rows.arrays[name] for name in rows.arrays if name != "continues"}
        if MASKED[0] in arrays:
            if not self.fresh:
                return PretrainingRows(arrays)
            arrays["tokens"] = _unmasked(arrays)
        bounds, tokens = arrays["bounds"], arrays["tokens"].astype(np.int32)
        masks = self.choose(
            tokens,
            bounds,
            arrays["first_lengths"].astype(np.int64),
            self._keys(row_N, turn_N, corpus),
            masking=self.masking,
            pieces=self.pieces,
            continues_T=rows.arrays.get("continues"),
        )
        arrays["masked_positions"] = masks.position.astype(np.int32)
        arrays["masked_labels"] = tokens[masks.place]
        arrays["masked_bounds"] = masks.bounds
        tokens[masks.place] = masks.shown
        return PretrainingRows({**arrays, "tokens": tokens})

    def _keys(self, row_N: np.ndarray, turn_N: np.ndarray, corpus: int) -> np.ndarray:
        """What the draws of each row come from, (rows,), uint64."""
        own = random_bits(np.array([self.seed], np.uint64), np.array([corpus]))
        turns = turn_N if self.fresh else np.zeros_like(turn_N)
        return random_bits(random_bits(own, row_N), turns)


def _unmasked(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """The tokens with the pieces that stood where masks are, (tokens,)."""
    tokens = arrays["tokens"].copy()
    count_N = np.diff(arrays["masked_bounds"])
    tokens[np.repeat(arrays["bounds"][:-1], count_N) + arrays["masked_positions"]] = arrays[
        "masked_labels"
    ]
    return tokens


@dataclass(frozen=True)
class InstanceRows:
    """Rows of one or several corpora, of which only those taken are in memory.

    A pass has each row of a corpus as often as its weight says, on the average: of weight 2 twice,
    of weight 0.5 every other row in turn. ``in_pass`` changes masks and turns, never the number.

    Attributes:
        corpora: The corpora, each with its weight.
        masker: Puts in masks.
        pairs: Whether features have the target ``next_sentence``.
        number: The pass.
    """

    corpora: tuple[tuple[PretrainingData, float], ...]
    masker: Masker
    pairs: bool
    number: int = 0

    @cached_property
    def _ends(self) -> np.ndarray:
        """Where the rows of each corpus end in a pass, (corpora,), int64."""
        return np.cumsum([max(1, round(weight * len(data))) for data, weight in self.corpora])

    @cached_property
    def _lengths(self) -> np.ndarray:
        parts = []
        for (data, _), count in zip(self.corpora, np.diff(self._ends, prepend=0), strict=True):
            parts.append(np.resize(data.row_lengths().astype(np.int32), count))
        return np.concatenate(parts)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row of the first pass, (rows,), int32."""
        return self._lengths

    @property
    def num_truncated(self) -> int | None:
        """Unknown: instances are as long as they were made."""
        return None

    def __len__(self) -> int:
        return int(self._ends[-1])

    def in_pass(self, number: int) -> InstanceRows:
        """The rows as a pass has them."""
        return replace(self, number=number)

    def take(self, indices: np.ndarray) -> FeatureTable:
        """These rows with the masks of this pass, as features, in memory."""
        indices = np.asarray(indices, np.int64)
        corpus_N = np.searchsorted(self._ends, indices, side="right")
        order = np.argsort(corpus_N, kind="stable")
        parts = [
            self._of_corpus(number, indices[order[corpus_N[order] == number]])
            for number in np.unique(corpus_N).tolist()
        ]
        if not parts:
            parts = [self._of_corpus(0, indices)]
        return _features(
            PretrainingRows.concatenate(parts).take(np.argsort(order)), indices, pairs=self.pairs
        )

    def _of_corpus(self, corpus: int, indices: np.ndarray) -> PretrainingRows:
        data, _ = self.corpora[corpus]
        first = int(self._ends[corpus - 1]) if corpus else 0
        size = int(self._ends[corpus]) - first
        turn_N, row_N = np.divmod(self.number * size + indices - first, len(data))
        return _alike(self.masker(data.take(row_N), row_N, turn_N, corpus=corpus), self.pairs)


def _alike(rows: PretrainingRows, pairs: bool) -> PretrainingRows:
    """Rows with the same arrays of the same types, whatever corpus they are from."""
    arrays = dict(rows.arrays)
    if not pairs:
        arrays.pop("next_sentence_labels", None)
    for name in ("tokens", "masked_labels"):
        arrays[name] = arrays[name].astype(np.int32)
    return PretrainingRows(arrays)


def _features(rows: PretrainingRows, example_N: np.ndarray, *, pairs: bool) -> FeatureTable:
    """Rows with masks as features."""
    arrays, count = rows.arrays, len(rows)
    bounds = arrays["bounds"]
    second = np.zeros(bounds[-1], np.uint8)
    first_N = arrays["first_lengths"].astype(np.int64)
    second[runs(bounds[:-1] + first_N, np.diff(bounds) - first_N)] = 1
    targets = {"labels": Column(arrays["masked_labels"].astype(np.int64), arrays["masked_bounds"])}
    if pairs:
        targets["next_sentence"] = Column(arrays["next_sentence_labels"].astype(np.int64))
    words = Column(arrays["masked_positions"].astype(np.int64), arrays["masked_bounds"])
    return FeatureTable(
        example=np.asarray(example_N, np.int64),
        row_bounds=np.arange(count + 1),
        token_bounds=bounds,
        tokens={"input_ids": arrays["tokens"], "token_type_ids": second},
        targets=targets,
        positions={"words": words},
    )


def all_of(rows: InstanceRows) -> FeatureTable:
    """Every row of the first pass, in memory."""
    return rows.take(np.arange(len(rows)))


def instance_rows(
    corpora: Sequence[tuple[PretrainingData, float]], masker: Masker, *, pairs: bool
) -> InstanceRows:
    """Rows of some corpora, at the first pass."""
    return InstanceRows(tuple(corpora), masker, pairs)
