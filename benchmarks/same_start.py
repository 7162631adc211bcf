"""A run of bertmod with the head and the order of rows that a run of transformers had.

Seeds of two tools draw different numbers. With one start and one order what is left to chance is
dropout, so that fewer seeds say more.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.contenders import PROGRAMS, RunFailed

TEXTS = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class Course:
    """What a run of transformers' began with, and trained on.

    Attributes:
        order: Features of all passes, one behind another.
        head: The head's weights before the first step, nested lists by their names in transformers.
    """

    order: Sequence[int]
    head: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> Course:
        """The course of a finished run.

        Args:
            folder: The run's, as ``contenders.run_peer`` leaves it.

        Raises:
            RunFailed: If there is no such run.
        """
        path = folder / "result.json"
        if not path.is_file():
            raise RunFailed(f"{path} is missing: let transformers train first, with the same seed")
        return cls(**json.loads(path.read_text(encoding="utf-8"))["course"])

    def checkpoint(self, weights: Path, folder: Path, *, labels: Sequence[str]) -> Path:
        """Make a checkpoint in transformers' layout: an encoder with the head of this course.

        Args:
            weights: Checkpoint of the encoder, in that layout.
            folder: Made anew.
            labels: Names of the labels, in the order of the head's outputs.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in TEXTS:
            if (weights / name).is_file():
                shutil.copy(weights / name, folder)
        config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
        config["architectures"] = ["BertForSequenceClassification"]
        config["id2label"] = dict(enumerate(labels))
        config["label2id"] = {label: number for number, label in enumerate(labels)}
        (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        tensors = {
            f"bert.{name.removeprefix('bert.')}": value
            for name, value in load_file(weights / "model.safetensors").items()
        }
        tensors |= {name: torch.tensor(value) for name, value in self.head.items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    def command(self, folder: Path) -> tuple[str, ...]:
        """Words that stand for ``-m bertmod`` in a command that trains on these rows.

        Args:
            folder: Where the order is written.
        """
        path = folder / "order.json"
        path.write_text(json.dumps(list(self.order)), encoding="utf-8")
        return (str(PROGRAMS / "bertmod_ordered.py"), str(path))
