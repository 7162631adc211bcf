"""From what a head decoded to tags and entities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from bertmod import Example, Prediction, TaskInfo
from bertmod.builtin.tasks.split_files import Decoded
from bertmod.builtin.tasks.tags.schemes import OUTSIDE
from bertmod.metrics.entities import entities


def usual_tag(info: TaskInfo) -> str:
    """The tag of a word that cannot be read: ``O``, else the most frequent one in training."""
    labels = info.labels or ()
    if OUTSIDE in labels or not labels:
        return OUTSIDE
    counts = info.label_counts or (0,) * len(labels)
    return labels[counts.index(max(counts))]


def tag_answer(example: Example, decoded: Decoded, info: TaskInfo, *, parts: bool) -> Prediction:
    """The prediction for one sentence.

    Args:
        example: The sentence.
        decoded: Its features with ``probabilities``, (tokens, classes).
        info: The labels.
        parts: Whether tags are parts of entities.
    """
    words = list(example["words"])
    tags, probabilities = [usual_tag(info)] * len(words), [1.0] * len(words)
    labels = info.labels or ()
    for feature, arrays in decoded:
        table = arrays["probabilities"][feature.host["position"]]
        best = table.argmax(axis=1).tolist()
        for word, code, row in zip(feature.host["word"].tolist(), best, table, strict=True):
            tags[word], probabilities[word] = labels[code], float(row[code])
    found = _entities(example, words, tags, probabilities) if parts else []
    return {
        "id": example["id"],
        "words": words,
        "tags": tags,
        "probabilities": probabilities,
        "entities": found,
    }


def _entities(
    example: Example, words: Sequence[str], tags: Sequence[str], probabilities: Sequence[float]
) -> list[dict[str, Any]]:
    text, offsets = example.get("text"), example.get("offsets")
    if text is None or offsets is None:
        text, offsets = " ".join(words), _joined(words)
    return [
        {
            "type": entity.type,
            "text": text[offsets[entity.first][0] : offsets[entity.last][1]],
            "first_word": entity.first,
            "last_word": entity.last,
            "start": offsets[entity.first][0],
            "end": offsets[entity.last][1],
            "probability": min(probabilities[entity.first : entity.last + 1]),
        }
        for entity in entities(tags)
    ]


def _joined(words: Sequence[str]) -> list[tuple[int, int]]:
    """Start and end of each word where single spaces are between them."""
    ends = accumulate(len(word) + 1 for word in words)
    return [(end - 1 - len(word), end - 1) for word, end in zip(words, ends, strict=True)]
