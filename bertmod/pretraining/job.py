"""What every process that makes pre-training data shares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.masking import MaskPieces, mask_pieces
from bertmod.pretraining.options import PretrainingOptions
from bertmod.pretraining.stored import Corpus, Plan, piece_dtype
from bertmod.pretraining.words import Words


@dataclass(frozen=True)
class Job:
    """What is made, of what, and where.

    Attributes:
        folder: Where everything is written until it is whole.
        options: What the data is made like.
        tokenizer: Gives the pieces; has [MASK].
    """

    folder: Path
    options: PretrainingOptions
    tokenizer: Tokenizer

    def __reduce__(self) -> tuple[type[Job], tuple[Any, ...]]:
        return Job, (self.folder, self.options, self.tokenizer)  # without what it has opened

    @property
    def corpus(self) -> Path:
        """Folder of the corpus as pieces."""
        return self.folder / "corpus"

    @property
    def plan(self) -> Path:
        """Folder of what is to be in each row."""
        return self.folder / "plan"

    @property
    def output(self) -> Path:
        """Folder that becomes the output."""
        return self.folder / "output"

    @property
    def reports(self) -> Path:
        """Folder with a report for each shard of the output that is whole."""
        return self.folder / "shards"

    @cached_property
    def dtype(self) -> np.dtype[np.integer]:
        """Of stored pieces."""
        return piece_dtype(self.tokenizer.vocab_size)

    @cached_property
    def text(self) -> Corpus:
        """The corpus as pieces, once it is whole."""
        return Corpus.open(self.corpus, self.dtype)

    @cached_property
    def planned(self) -> Plan:
        """What is to be in each row, once that is known of all."""
        return Plan.open(self.plan, self.dtype)

    @cached_property
    def words(self) -> Words:
        """Gives the pieces of texts, and remembers those of their words."""
        return Words(self.tokenizer, self.dtype)

    @cached_property
    def pieces(self) -> MaskPieces:
        """What masking must know about the vocabulary."""
        return mask_pieces(self.tokenizer)
