"""Rounds of training steps in a plain loop, with transformers, adapters or peft.

``serving.py`` says how it is used. Settings: those of ``transformers_classification.py``;
``method``, null for all of the model, ``adapters_houlsby`` or ``peft_lora`` for the model that the
program of this name makes, with its options; ``rows``, a JSON file with ``input_ids``,
``token_type_ids`` and ``labels`` of every row; ``threads``; ``device``. A line of the input is one
of ``WAYS``, and a round is a step on every batch of the rows, in random order.

transformers is imported where it is used, so that the rest can be tested without it.
"""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from serving import Told, serve
from torch import Tensor
from transformers_training import adamw, train_on, versions

Row = dict[str, Any]

WAYS = {
    "fp32 padded": (False, True, False),
    "fp32": (False, False, False),
    "bf16": (True, False, False),
    "bf16 grouped": (True, False, True),
}
"""Whether there is autocast to bf16, whether all rows are padded to the longest that there may be
instead of to their batch's longest, and whether a batch's rows are of similar length."""

WINDOW = 50
"""Batches whose rows are sorted by length together, as transformers' LengthGroupedSampler does."""


def batches(num: int, size: int, *, lengths: np.ndarray | None, draw: Any) -> list[np.ndarray]:
    """The numbers of all rows, in batches in random order.

    Args:
        num: Rows.
        size: Rows of a batch.
        lengths: Tokens of each row, (num,), to group rows by; None leaves them as drawn.
        draw: Source of the order.
    """
    order = draw.permutation(num)
    if lengths is not None:
        window = WINDOW * size
        parts = [order[first : first + window] for first in range(0, num, window)]
        order = np.concatenate([part[np.argsort(-lengths[part], kind="stable")] for part in parts])
    return [order[first : first + size] for first in draw.permutation(range(0, num, size))]


def padded(rows: list[Row], length: int | None) -> dict[str, Tensor]:
    """A batch, padded to a length or to its longest row."""
    shape = (len(rows), length or max(len(row["input_ids"]) for row in rows))
    names = ("input_ids", "token_type_ids", "attention_mask")
    batch = {name: torch.zeros(shape, dtype=torch.long) for name in names}
    for place, row in enumerate(rows):
        end = len(row["input_ids"])
        batch["attention_mask"][place, :end] = 1
        for name in names[:2]:
            batch[name][place, :end] = torch.from_numpy(row[name])
    return {**batch, "labels": torch.tensor([row["labels"] for row in rows])}


def read_rows(path: Path) -> list[Row]:
    """The rows, their tokens as arrays."""
    columns = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    arrays = ("input_ids", "token_type_ids")
    return [{**row, **{name: np.array(row[name]) for name in arrays}} for row in rows]


class Training:
    """A model, its optimizer and the rows.

    Args:
        settings: What the benchmark wrote.
        model: The model; what of it is frozen does not ask for gradients.
    """

    def __init__(self, settings: dict[str, Any], model: torch.nn.Module) -> None:
        self.device = torch.device(settings["device"])
        self.settings, self.model = settings, model.to(self.device).train()
        self.optimizer = adamw(
            (each for each in model.parameters() if each.requires_grad),
            weight_decay=settings["weight_decay"],
            lr=settings["learning_rate"],
            betas=tuple(settings["betas"]),
            eps=settings["eps"],
        )
        self.rows = read_rows(Path(settings["rows"]))
        self.lengths = np.array([len(row["input_ids"]) for row in self.rows])
        self.draw = np.random.default_rng(0)

    def round(self, way: str) -> Told:
        """Make a step on every batch, and tell what was computed in how many seconds."""
        half, full, grouped = WAYS[way]
        lengths = self.lengths if grouped else None
        counts = {"rows": 0, "tokens": 0, "computed": 0}
        size, begun = self.settings["batch_size"], time.perf_counter()
        for numbers in batches(len(self.rows), size, lengths=lengths, draw=self.draw):
            rows = [self.rows[number] for number in numbers]
            batch = padded(rows, self.settings["max_length"] if full else None)
            norm, there = self.settings["max_grad_norm"], self.placed(batch)
            train_on(there, self.model, self.optimizer, half=half, max_grad_norm=norm)
            counts["rows"] += len(rows)
            counts["tokens"] += int(self.lengths[numbers].sum())
            counts["computed"] += batch["input_ids"].numel()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return {"seconds": time.perf_counter() - begun, **counts}

    def placed(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """A batch where the model is; a GPU fetches it by itself, as from Trainer's data loader."""
        if self.device.type == "cpu":
            return batch
        return {
            name: value.pin_memory().to(self.device, non_blocking=True)
            for name, value in batch.items()
        }


MODELS = {"adapters_houlsby": "houlsby", "peft_lora": "lora"}
"""Programs to what in them makes the model."""


def start(settings: dict[str, Any]) -> tuple[Told, Any]:
    """Make the model."""
    from transformers_classification import new_model

    torch.set_num_threads(settings["threads"])
    torch.manual_seed(settings["seed"])
    method = settings["method"]
    make = getattr(importlib.import_module(method), MODELS[method]) if method else new_model
    more = [method.partition("_")[0]] if method else []
    return {"versions": versions(*more)}, Training(settings, make(settings)).round


if __name__ == "__main__":
    serve(start)
