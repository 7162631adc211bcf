"""Scores of entities: spans of tagged words that have a type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bertmod.metrics.pairing import paired


class Entity(NamedTuple):
    """Words that belong together.

    Attributes:
        type: What stands behind ``B-`` and ``I-``.
        first: Index of its first word.
        last: Index of its last word.
    """

    type: str
    first: int
    last: int


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of one sentence.

    An ``I-`` behind another type or behind ``O`` begins an entity, so IOB1 and IOB2 are read alike.

    Args:
        tags: One tag per word: ``O``, or ``B-`` or ``I-`` and a type.

    Returns:
        Entities in the order of their words; they do not overlap.

    Source: seqeval's ``get_entities``, which follows the CoNLL shared tasks' ``conlleval``.
    """
    from seqeval.metrics.sequence_labeling import get_entities

    return [Entity(*found) for found in get_entities(list(tags))]


def entity_counts(
    labels: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]]
) -> np.ndarray:
    """Entities of each sentence, from which scores over any choice of sentences follow.

    An entity is right if its type, first word and last word are.

    Args:
        labels: The right tags of each sentence.
        predictions: The given tags in the same order.

    Returns:
        Right, given and existing entities, (sentences, 3), int64.

    Raises:
        ValueError: If there are not as many predictions as labels.
    """
    paired(labels, predictions)
    counts = np.zeros((len(labels), 3), np.int64)
    for row, (right, given) in enumerate(zip(labels, predictions, strict=True)):
        there, found = set(entities(right)), set(entities(given))
        counts[row] = len(there & found), len(found), len(there)
    return counts


def entity_scores(counts: np.ndarray) -> Mapping[str, float]:
    """F1, precision and recall of entities of all types together.

    Args:
        counts: Right, given and existing entities, (3,), any integer dtype: a sum of rows of
            ``entity_counts``.

    Returns:
        ``f1``, ``precision`` and ``recall``, each in [0, 1]; 0.0 where it is undefined.

    Source: Tjong Kim Sang and De Meulder 2003, W03-0419.
    """
    right, given, there = (int(count) for count in counts)
    return {
        "f1": _share(2 * right, given + there),
        "precision": _share(right, given),
        "recall": _share(right, there),
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
