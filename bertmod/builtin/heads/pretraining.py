"""A head with both losses of pre-training.

Shape letters: R rows. Each feature has one row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from torch import nn

from bertmod import Batch, EncoderOutput, HeadContext, HeadOutput, Part
from bertmod.builtin.heads.config import NextSentenceConfig, PretrainingConfig
from bertmod.builtin.heads.masked_lm import MaskedLm
from bertmod.builtin.heads.next_sentence import NextSentence

Arrays = Mapping[str, np.ndarray]

NEXT = "next_sentence"
"""Its target and its loss."""


class Pretraining(nn.Module):
    """The pieces behind masked tokens, and how a row's second text relates to the first.

    It is a ``masked_lm`` and a ``next_sentence`` head side by side: it reads the positions
    ``words`` and the target ``labels`` as the one does, and the target ``next_sentence`` as the
    other does its ``labels``. Its losses have their names and weigh the same, each divided by its
    own targets; it decodes what both decode.

    Raises:
        ValueError: If the encoder states no size of its vocabulary.
        DataError: If the task has other than two labels.
    """

    layout: Literal["any", "padded"] = "any"

    def __init__(self, config: PretrainingConfig, context: HeadContext) -> None:
        super().__init__()
        self.masked_lm = MaskedLm(config, context)
        self.next_sentence = NextSentence(NextSentenceConfig(), context)
        self.want: frozenset[Part] = self.masked_lm.want | self.next_sentence.want
        self.info = self.next_sentence.info

    def num_targets(self, targets: Arrays, lengths: np.ndarray) -> Mapping[str, float]:
        """Words with a label as ``masked_lm``, features with one as ``next_sentence``."""
        own = {"labels": targets[NEXT]} if NEXT in targets else {}
        return {
            **self.masked_lm.num_targets(targets, lengths),
            **self.next_sentence.num_targets(own, lengths),
        }

    def forward(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        """The logits of both, those of pairs as ``next_sentence``, and their loss sums."""
        pieces = self.masked_lm(output, batch)
        order = self.next_sentence(output, _for_next(batch))
        logits = {**pieces.logits, NEXT: order.logits["logits"]}
        return HeadOutput(logits, {**pieces.losses, **order.losses})

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """What both decode of each feature: masked tokens, and ``probabilities``, (2,)."""
        pieces = self.masked_lm.decode(output, batch)
        order = self.next_sentence.decode(HeadOutput({"logits": output.logits[NEXT]}, {}), batch)
        return [{**one, **other} for one, other in zip(pieces, order, strict=True)]


def _for_next(batch: Batch) -> Batch:
    """The batch with the targets that a ``next_sentence`` head reads."""
    targets = {"labels": batch.targets[NEXT]} if NEXT in batch.targets else {}
    return replace(batch, targets=targets)
