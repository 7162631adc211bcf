"""Steps of pre-training with transformers' BertForPreTraining in a plain loop.

``serving.py`` says how it is used; ``benchmarks/pretraining_steps.py`` writes the settings. A line
of the input is one of ``WAYS``, and a round is a step on every batch of the rows.

transformers is imported where it is used, so that the rest can be tested without it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from serving import serve
from torch import Tensor
from transformers_training import adamw, train_on, versions

Row = dict[str, Any]

WAYS = {"fp32": (False, False), "bf16": (True, False), "bf16 grouped": (True, True)}
"""Whether there is autocast to bf16, and whether a batch's rows are of similar length."""

PADDING = {"input_ids": 0, "token_type_ids": 0, "attention_mask": 0, "labels": -100}


def read_rows(shard: Path) -> list[Row]:
    """The rows of a shard of pre-training data, as ``BertForPreTraining`` takes them.

    Args:
        shard: Folder of ``.npy`` files; ``bertmod/data/pretraining_files.py`` says what is in them.
    """
    names = ("tokens", "bounds", "first_lengths", "next_sentence_labels")
    masked = ("masked_positions", "masked_labels", "masked_bounds")
    arrays = {name: np.load(shard / f"{name}.npy") for name in (*names, *masked)}
    rows = []
    for number, first_length in enumerate(arrays["first_lengths"]):
        first, end = arrays["bounds"][number : number + 2]
        tokens = arrays["tokens"][first:end].astype(np.int64)
        hidden = slice(*arrays["masked_bounds"][number : number + 2])
        labels = np.full_like(tokens, PADDING["labels"])
        labels[arrays["masked_positions"][hidden]] = arrays["masked_labels"][hidden]
        rows.append(
            {
                "input_ids": tokens,
                "token_type_ids": (np.arange(len(tokens)) >= first_length).astype(np.int64),
                "attention_mask": np.ones_like(tokens),
                "labels": labels,
                "next_sentence_label": int(arrays["next_sentence_labels"][number]),
            }
        )
    return rows


def padded(rows: list[Row]) -> dict[str, Tensor]:
    """A batch, padded to its longest row."""
    longest = max(len(row["input_ids"]) for row in rows)
    batch = {name: torch.full((len(rows), longest), each) for name, each in PADDING.items()}
    for place, row in enumerate(rows):
        for name, tensor in batch.items():
            tensor[place, : len(row[name])] = torch.from_numpy(row[name])
    following = torch.tensor([row["next_sentence_label"] for row in rows])
    return {**batch, "next_sentence_label": following}


def batches(
    rows: list[Row], size: int, *, grouped: bool, draw: np.random.Generator
) -> list[list[Row]]:
    """Every row once, in batches in random order.

    Args:
        rows: The rows.
        size: Rows of a batch.
        grouped: Whether all rows are sorted by length before they are cut into batches.
        draw: Source of the order.
    """
    order = draw.permutation(len(rows)).tolist()
    if grouped:
        order.sort(key=lambda number: len(rows[number]["input_ids"]))
    starts = draw.permutation(range(0, len(rows), size))
    return [[rows[number] for number in order[start : start + size]] for start in starts]


class Training:
    """A model with fresh weights, its optimizer, and the rows.

    Args:
        settings: What the benchmark wrote.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        from transformers import AutoModelForPreTraining, BertConfig

        torch.manual_seed(0)
        config, kind = BertConfig(**settings["shape"]), cast(Any, AutoModelForPreTraining)
        self.model = kind.from_config(config, attn_implementation="sdpa").train()
        self.optimizer = adamw(
            self.model.parameters(),
            weight_decay=settings["weight_decay"],
            lr=settings["learning_rate"],
        )
        self.rows, self.settings = read_rows(Path(settings["rows"])), settings
        self.draw = np.random.default_rng(0)

    def round(self, way: str) -> dict[str, float]:
        """Make a step on every batch, and tell what was computed in how many seconds."""
        half, grouped = WAYS[way]
        counts = {"steps": 0, "rows": 0, "tokens": 0, "computed": 0}
        begun = time.perf_counter()
        size = self.settings["batch_size"]
        for rows in batches(self.rows, size, grouped=grouped, draw=self.draw):
            batch = padded(rows)
            norm = self.settings["max_grad_norm"]
            train_on(batch, self.model, self.optimizer, half=half, max_grad_norm=norm)
            counts["steps"] += 1
            counts["rows"] += len(rows)
            counts["tokens"] += int(batch["attention_mask"].sum())
            counts["computed"] += batch["input_ids"].numel()
        return {"seconds": time.perf_counter() - begun, **counts}


def start(settings: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """What this runs on, and what makes a round."""
    torch.set_num_threads(settings["threads"])
    return versions(), Training(settings).round


if __name__ == "__main__":
    serve(start)
