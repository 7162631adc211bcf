"""MRPC's pairs: drawn once, in the files that bertmod and its peers read."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import prepared_task
from benchmarks.settings import FineTuning

FILLER = " the"
"""One token, of which rows get as many as make them as long as any may be."""

LABELS = ("0", "1")


@dataclass(frozen=True)
class Pair:
    """Two texts and a label."""

    first: str
    second: str
    label: str


def read_pairs(data: Path, checkpoint: str) -> list[Pair]:
    """All training pairs of MRPC, in the file's order.

    Raises:
        DataError: If the file is missing or malformed.
    """
    recipe = FineTuning().recipe({"name": "mrpc"}, data=str(data), checkpoint=checkpoint, seed=1)
    task = prepared_task(recipe)
    names = task.info.labels or LABELS
    texts = [example["texts"] for example in task.task.read("train")]
    labels = task.features("train").targets["labels"].values
    return [
        Pair(first, second, names[int(label)])
        for (first, second), label in zip(texts, labels, strict=True)
    ]


def drawn(pairs: list[Pair], num: int) -> list[Pair]:
    """Some of the pairs, each once as long as there are enough of them, else again and again."""
    order = np.random.default_rng(0).permutation(len(pairs))
    return [pairs[order[number % len(pairs)]] for number in range(num)]


def lengthened(pairs: list[Pair], num_tokens: int) -> list[Pair]:
    """Pairs whose second texts go on for as many tokens."""
    return [Pair(each.first, each.second + FILLER * num_tokens, each.label) for each in pairs]


def joined(pairs: list[Pair], num: int, *, num_tokens: int) -> list[Pair]:
    """Pairs of at least so many tokens, each of the texts of as many pairs as that takes.

    Args:
        pairs: Pairs to take in turn, again and again.
        num: How many to make.
        num_tokens: Tokens of each; a word has at least one.
    """
    source, made = itertools.cycle(pairs), []
    for _ in range(num):
        parts: list[Pair] = []
        while sum(len(f"{each.first} {each.second}".split()) for each in parts) < num_tokens:
            parts.append(next(source))
        first, second = ([p.first for p in parts], [p.second for p in parts])
        made.append(Pair(" ".join(first), " ".join(second), parts[0].label))
    return made


def write_table(pairs: list[Pair], path: Path) -> Path:
    """A table of pairs, JSON lines: ``text``, ``text_pair``, ``label``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (
        json.dumps({"text": each.first, "text_pair": each.second, "label": each.label})
        for each in pairs
    )
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def slot(table: Path, *, id_: str = "pairs") -> dict[str, Any]:
    """A task of the pairs of a table, as a recipe names it."""
    return {
        "name": "table",
        "id": id_,
        "train": str(table),
        "text": ["text", "text_pair"],
        "label": "label",
        "labels": list(LABELS),
        "head": {"name": "classification", "dropout": 0.1},
    }


def write_tokens(table: Path, checkpoint: str, path: Path) -> np.ndarray:
    """Write the tokens and labels that bertmod makes of a table, for peers.

    Returns:
        Tokens of each row, (rows,), int64.
    """
    recipe = FineTuning().recipe(slot(table), data=str(table.parent), checkpoint=checkpoint, seed=1)
    features = prepared_task(recipe).features("train")
    bounds = list(itertools.pairwise(features.token_bounds))
    columns = {
        name: [features.tokens[name][first:end].tolist() for first, end in bounds]
        for name in ("input_ids", "token_type_ids")
    }
    labels = features.targets["labels"].values.tolist()
    path.write_text(json.dumps({**columns, "labels": labels}), encoding="utf-8")
    return np.diff(features.token_bounds).astype(np.int64)
