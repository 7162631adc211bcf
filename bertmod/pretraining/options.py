"""What pre-training data is made like."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from bertmod.data.masking import LONGEST_ROW, Masking
from bertmod.errors import DataError

SHORTEST_ROW = 5
"""[CLS], two segments of a piece each, and their [SEP]."""


@dataclass(frozen=True)
class PretrainingOptions:
    """What pre-training data is made like; the defaults are Google's.

    Attributes:
        max_seq_length: Longest row in tokens, special ones counted, at least 5.
        max_predictions_per_seq: Most masked tokens of a row, at least 1.
        random_seed: Which draws, at least 0.
        dupe_factor: Passes over the corpus, each with draws of its own, at least 1.
        masked_lm_prob: Share of a row's tokens that is masked, in (0, 1).
        short_seq_prob: Share of documents whose rows are shorter, in [0, 1].
        whole_word_mask: Whether all pieces of a word are masked, or none.
        masking: ``static``: masked already; ``dynamic``: left to who reads.
        random: ``own``: draws by seed, document and pass; ``google``: in the original's order.
        next_sentence: ``nsp``: every other second segment is from elsewhere; ``sop``: every other
            pair has changed places; ``none``: one segment.
        form: ``bertmod``: memory-mapped arrays; ``tfrecord``: Google's records.
        segmenter: ``MODULE:FUNCTION`` that gives the words of a line, for whole words; or empty.
        shard_instances: Instances of a file or shard, at least 1.
    """

    max_seq_length: int = 128
    max_predictions_per_seq: int = 20
    random_seed: int = 12345
    dupe_factor: int = 10
    masked_lm_prob: float = 0.15
    short_seq_prob: float = 0.1
    whole_word_mask: bool = False
    masking: Literal["static", "dynamic"] = "static"
    random: Literal["own", "google"] = "own"
    next_sentence: Literal["nsp", "sop", "none"] = "nsp"
    form: Literal["bertmod", "tfrecord"] = "bertmod"
    segmenter: str = ""
    shard_instances: int = 65_536

    def __post_init__(self) -> None:
        if not SHORTEST_ROW <= self.max_seq_length <= LONGEST_ROW:
            raise DataError(
                f"--max-seq-length {self.max_seq_length}: a row is [CLS] A [SEP] B [SEP], "
                f"{SHORTEST_ROW} to {LONGEST_ROW:,} tokens"
            )
        if not 0 < self.masked_lm_prob < 1:
            raise DataError(f"--masked-lm-prob {self.masked_lm_prob}: between 0 and 1")
        if self.random == "google":
            self._require_googles()
        if self.form == "tfrecord":
            self._require_recordable()
        if self.segmenter and not self.whole_word_mask:
            raise DataError("--segmenter is for --do-whole-word-mask")

    def _require_googles(self) -> None:
        """Refuse what the original cannot do."""
        if self.next_sentence != "nsp":
            raise DataError(f"--random google makes no pairs --next-sentence {self.next_sentence}")
        if self.masking != "static":
            raise DataError("--random google masks while it draws pairs: --masking static")
        if self.segmenter:
            raise DataError("--random google knows words by ## alone, without --segmenter")

    def _require_recordable(self) -> None:
        """Refuse what Google's records have no place for."""
        if self.masking != "static":
            raise DataError("--format tfrecord holds masked rows: --masking static")
        if self.next_sentence == "none":
            raise DataError(
                "--format tfrecord has a next-sentence label in every record: "
                "--next-sentence nsp or sop"
            )

    @property
    def pairs(self) -> bool:
        """Whether rows have two segments."""
        return self.next_sentence != "none"

    @property
    def max_pieces(self) -> int:
        """Most pieces of a row beside its special tokens."""
        return self.max_seq_length - (3 if self.pairs else 2)

    @property
    def mask_options(self) -> Masking:
        """How much is masked."""
        return Masking(self.masked_lm_prob, self.max_predictions_per_seq, self.whole_word_mask)

    def as_json(self) -> dict[str, Any]:
        """Every option by name."""
        return asdict(self)
