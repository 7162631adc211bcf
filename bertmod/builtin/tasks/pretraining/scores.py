"""What a head found behind masks and of pairs, and how right that was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bertmod import Example, Prediction, TaskInfo
from bertmod.builtin.tasks.pretraining.config import metric_names
from bertmod.builtin.tasks.split_files import Decoded
from bertmod.contracts.tokenizer import Tokenizer

COLUMNS = ("masked", "right", "loss", "pairs", "right_pairs", "pair_loss")
"""What is counted of each example; scores are made of the sums."""

_LARGEST = 700.0
"""Exponent from which a perplexity would be beyond what a number can be."""


def answer(example: Example, decoded: Decoded, info: TaskInfo, tokenizer: Tokenizer) -> Prediction:
    """The prediction for an example.

    With labels it has ``masked``, ``right``: how many of the most likely pieces are the label, and
    ``log_likelihood``, the labels' summed; without labels ``masks``: the token, the likeliest
    pieces and their probabilities. Where there is a second segment it has ``label`` and
    ``probabilities`` by label.
    """
    found: dict[str, Any] = {"id": example["id"]}
    for _, arrays in decoded:
        if "labels" in example:
            right = arrays["pieces"][:, 0] == np.asarray(example["labels"], np.int64)
            found["masked"], found["right"] = len(right), int(right.sum())
            found["log_likelihood"] = float(arrays["label_log_probabilities"].sum(dtype=np.float64))
        else:
            found["masks"] = _masks(example, arrays, tokenizer)
        if "probabilities" in arrays and info.labels:
            shares = arrays["probabilities"].tolist()
            found["label"] = info.labels[int(np.argmax(shares))]
            found["probabilities"] = dict(zip(info.labels, shares, strict=True))
    return found


def _masks(
    example: Example, arrays: Mapping[str, np.ndarray], tokenizer: Tokenizer
) -> list[dict[str, Any]]:
    """The likeliest pieces of each mask; a head may have been asked about other tokens too."""
    asked = np.flatnonzero(np.isin(arrays["tokens"], example["words"]))
    return [
        {
            "token": int(arrays["tokens"][place]),
            "pieces": tokenizer.pieces(arrays["pieces"][place].tolist()),
            "probabilities": np.exp(arrays["log_probabilities"][place]).tolist(),
        }
        for place in asked
    ]


def counts(
    examples: Sequence[Example], predictions: Sequence[Prediction], labels: Sequence[str]
) -> np.ndarray:
    """What is counted of each example, as ``COLUMNS`` says, (examples, 6), fp64."""
    table = np.zeros((len(predictions), len(COLUMNS)))
    tiny = float(np.finfo(np.float32).tiny)
    for row, example, each in zip(table, examples, predictions, strict=True):
        row[:3] = each["masked"], each["right"], -each["log_likelihood"]
        if labels:
            right = labels[example["next_sentence"]]
            share = max(each["probabilities"][right], tiny)
            row[3:] = 1, each["label"] == right, -np.log(share)
    return table


def scores(sums: np.ndarray, *, pairs: bool) -> dict[str, float]:
    """The metrics of summed counts, (6,)."""
    masked, right, loss, num_pairs, right_pairs, pair_loss = sums.tolist()
    found = {
        "masked_lm_accuracy": right / max(masked, 1),
        "masked_lm_loss": loss / max(masked, 1),
        "next_sentence_accuracy": right_pairs / max(num_pairs, 1),
        "next_sentence_loss": pair_loss / max(num_pairs, 1),
    }
    found["perplexity"] = float(np.exp(min(found["masked_lm_loss"], _LARGEST)))
    found["loss"] = found["masked_lm_loss"] + (found["next_sentence_loss"] if pairs else 0.0)
    return {name: found[name] for name in metric_names(pairs=pairs)}


def baseline(examples: Sequence[Example], *, pairs: bool) -> dict[str, float]:
    """The metrics of answers by frequency alone: of pieces, and of what second segments are."""
    pieces: Counter[int] = Counter()
    seconds: Counter[int] = Counter()
    for example in examples:
        pieces.update(example["labels"])
        if pairs:
            seconds[example["next_sentence"]] += 1
    sums = [entry for counter in (pieces, seconds) for entry in _by_frequency(counter)]
    return scores(np.array(sums), pairs=pairs)


def _by_frequency(counter: Counter[int]) -> tuple[float, float, float]:
    """How many there are, how many are the most frequent, and the loss of their shares."""
    count = np.array(sorted(counter.values()), np.float64)
    total = count.sum()
    return total, count.max(initial=0.0), float(-(count * np.log(count / max(total, 1))).sum())
