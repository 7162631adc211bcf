"""Whether two checkpoints compute the same: hidden states of every layer on the same tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bertmod.convert.agreement import require_types, unlike_sizes, unlike_tokens
from bertmod.convert.differences import Differences, PartDifference
from bertmod.convert.sides import CheckpointSide, Side, Text
from bertmod.convert.source import open_source
from bertmod.convert.transformers_side import PREFIX, TransformersSide
from bertmod.data.features import FeatureTable
from bertmod.errors import DataError
from bertmod.registry import Registry, load_registry

TOLERANCE = 1e-5
"""Largest difference between equal models, which the order of fp32 sums alone explains."""

MAX_LENGTH = 128
BATCH_ROWS = 8

TEXTS: tuple[Text, ...] = (
    ("Hello, world!", None),
    ("a", None),
    ("The quick brown fox jumps over the lazy dog, again and again.", None),
    ("WHO WROTE THIS IN CAPITAL LETTERS?", None),
    ("Où est l'élève naïve? Überall, señor Łukasz.", None),
    ("中文和日本語のテキスト, 한국어 too.", None),
    ("It cost $1,234.56 (or 20% less) -- unbelievable; isn't it?", None),
    ("The cat sat on the mat.", "A feline was sitting on a rug."),
    ("Who discovered it?", "It was found in 1928, by chance, on a dish left near a window. " * 4),
    ("Unaffable reinterpretations of antidisestablishmentarianism matter. " * 12, None),
)
"""What is compared unless texts are given: short, long, pairs, capitals, accents, CJK."""


@dataclass(frozen=True)
class Verification:
    """What came out of comparing two checkpoints.

    Attributes:
        a: What the first is called.
        b: What the second is called.
        tolerance: Largest absolute difference between equal ones.
        num_texts: Texts that were compared, a pair counting once.
        num_tokens: Their tokens as A's tokenizer makes them, padding not counted.
        parts: The difference of each part that both have; none where sizes differ.
        unlike: What else differs: sizes, vocabulary, tokens, label names.
        notes: What was not compared, and why.
    """

    a: str
    b: str
    tolerance: float
    num_texts: int
    num_tokens: int
    parts: tuple[PartDifference, ...]
    unlike: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def maximum(self) -> float:
        """Largest absolute difference of any part; NaN if one has such a value."""
        found = [each.maximum for each in self.parts]
        return math.nan if any(map(math.isnan, found)) else max(found, default=0.0)

    @property
    def equal(self) -> bool:
        """Whether nothing differs by more than the tolerance."""
        return not self.unlike and bool(self.parts) and self.maximum <= self.tolerance


def verify(
    a: str,
    b: str,
    *,
    texts: Sequence[Text | str] | None = None,
    max_length: int | None = None,
    tolerance: float = TOLERANCE,
    task: str | None = None,
    hidden_act: str | None = None,
    device: str = "auto",
    registry: Registry | None = None,
) -> Verification:
    """Compare the hidden states of two checkpoints on the same tokens, in fp32.

    Args:
        a: What ``--checkpoint`` takes, or ``transformers:PATH`` for one that transformers runs;
            its tokenizer makes the tokens.
        b: The other, likewise; its tokenizer must make the same tokens.
        texts: Texts, and pairs of texts; None takes ``TEXTS``.
        max_length: Longest row, tokens; None: 128, or fewer if one of the two takes fewer.
        tolerance: Largest absolute difference between equal ones.
        task: Id of a task whose logits are compared too, its adapters acting on both sides.
        hidden_act: Activation in place of a file's ``gelu``, where bertmod runs it: ``gelu_tanh``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        registry: What is installed; None looks.

    Raises:
        CheckpointError: If one cannot be read, or lacks the task.
        DataError: If there is no text, A has no tokenizer, or a row could not be so long.
        RecipeError: If this machine lacks the device or a plugin.
    """
    one, two = (
        open_side(each, task=task, hidden_act=hidden_act, device=device, registry=registry)
        for each in (a, b)
    )
    given = None if texts is None else [(t, None) if isinstance(t, str) else t for t in texts]
    return compare_sides(one, two, texts=given, max_length=max_length, tolerance=tolerance)


def open_side(
    name: str,
    *,
    task: str | None = None,
    hidden_act: str | None = None,
    device: str = "auto",
    registry: Registry | None = None,
) -> Side:
    """A checkpoint by what the user wrote, ready to be compared; arguments as for ``verify``.

    Raises:
        CheckpointError: If there is no checkpoint there, it is damaged, or it lacks the task.
        RecipeError: If this machine lacks the device or a plugin.
    """
    if name.startswith(PREFIX):
        return TransformersSide(name, task=task, device=device)
    source = open_source(
        name,
        registry=registry or load_registry(),
        encoder_only=task is None,
        options=None if hidden_act is None else {"encoder": {"hidden_act": hidden_act}},
    )
    return CheckpointSide(source, task=task, device=device)


def compare_sides(
    a: Side,
    b: Side,
    *,
    texts: Sequence[Text] | None = None,
    max_length: int | None = None,
    tolerance: float = TOLERANCE,
    advance: Callable[[int], object] | None = None,
) -> Verification:
    """Compare two opened checkpoints; see ``verify``.

    Args:
        a: The first.
        b: The second.
        texts: Texts and pairs; None takes ``TEXTS``.
        max_length: Longest row, tokens.
        tolerance: Largest absolute difference between equal ones.
        advance: Called with the number of texts of each batch that was compared.

    Raises:
        DataError: If there is no text, A has no tokenizer, or a row could not be so long.
    """
    texts = TEXTS if texts is None else texts
    if not texts:
        raise DataError("there is no text to compare two checkpoints on")
    limit = _limit(a, b, max_length)
    rows = a.rows(texts, max_length=limit)
    if rows is None:
        raise DataError(f"{a.title}: no tokenizer, so it cannot be A\n  put it second")
    require_types(a, b, rows=rows)
    other_tokens, notes = unlike_tokens(a, b, texts=texts)
    other_sizes = tuple(unlike_sizes(a, b, rows=rows))
    differences = Differences(a.labels, b.labels)
    if not other_sizes:
        table = FeatureTable.from_rows(rows)
        for first in range(0, len(table), BATCH_ROWS):
            batch = table.take(np.arange(first, min(first + BATCH_ROWS, len(table))))
            differences.add(a.states(batch), b.states(batch))
            if advance is not None:
                advance(len(batch))
    return Verification(
        a=a.title,
        b=b.title,
        tolerance=tolerance,
        num_texts=len(texts),
        num_tokens=len(rows.input_ids),
        parts=differences.parts,
        unlike=(*other_sizes, *other_tokens, *differences.unlike),
        notes=(*notes, *differences.notes),
    )


def _limit(a: Side, b: Side, stated: int | None) -> int:
    """Longest row of both, tokens."""
    for side in (a, b):
        if stated is not None and stated > side.sizes.max_length:
            raise DataError(
                f"--max-length {stated}: {side.title} takes rows of "
                f"{side.sizes.max_length} tokens at most"
            )
    return min(stated or MAX_LENGTH, a.sizes.max_length, b.sizes.max_length)
