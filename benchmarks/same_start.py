"""What a run of bertmod needs to begin, and go on, as a run of transformers did.

Seeds of two tools draw different numbers. With one head and one order of rows what is left to
chance is dropout, and without dropout nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.contenders import PROGRAMS, RunFailed
from benchmarks.speed.shapes import TOKENIZER_FILES

WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class Course:
    """What a run of transformers' began with, and trained on.

    Attributes:
        order: Features of all passes, one behind another.
        head: The head's weights before the first step, nested lists by their names in transformers.
    """

    order: Sequence[int]
    head: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path, *, given: Mapping[str, Any]) -> Course:
        """The course of a finished run.

        Args:
            folder: The run's, as ``contenders.run_peer`` leaves it.
            given: What it must have been given.

        Raises:
            RunFailed: If there is no such run.
        """
        try:
            told, result = (
                json.loads((folder / name).read_text(encoding="utf-8"))
                for name in ("given.json", "result.json")
            )
            if told == json.loads(json.dumps(given)):
                return cls(**result["course"])
        except (FileNotFoundError, KeyError):
            pass
        raise RunFailed(
            f"{folder}: no run of transformers with this seed and these settings that says what it "
            "trained on\n  let it train first: name another --output, and transformers before "
            "bertmod in --tools"
        )

    def save(self, weights: Path, folder: Path, *, labels: Sequence[str]) -> tuple[str, ...]:
        """Write the order, and a checkpoint in transformers' layout: an encoder with this head.

        Args:
            weights: Checkpoint of the encoder, in that layout.
            folder: An empty one.
            labels: Names of the labels, in the order of the head's outputs.

        Returns:
            What Python is to run in place of ``bertmod``.

        Raises:
            RunFailed: If the checkpoint has no safetensors.
        """
        if not (weights / WEIGHTS_FILE).is_file():
            raise RunFailed(f"{weights}: no {WEIGHTS_FILE}, which a run from the same start needs")
        for name in TOKENIZER_FILES:
            if (weights / name).is_file():
                shutil.copy(weights / name, folder)
        config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
        config["architectures"] = ["BertForSequenceClassification"]
        config["id2label"] = dict(enumerate(labels))
        config["label2id"] = {label: number for number, label in enumerate(labels)}
        (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
        tensors = {
            f"bert.{name.removeprefix('bert.')}": value
            for name, value in load_file(weights / WEIGHTS_FILE).items()
        }
        tensors |= {name: torch.tensor(value) for name, value in self.head.items()}
        save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        order = folder / "order.json"
        order.write_text(json.dumps(list(self.order)), encoding="utf-8")
        return (str(PROGRAMS / "bertmod_ordered.py"), str(order))
