"""Hyper-parameters that every tool of a comparison gets, and their form as a recipe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FineTuning:
    """One task alone.

    Attributes:
        num_epochs: Length of the run, epochs.
        steps: Optimizer steps in place of ``num_epochs``, to try things out; None for all.
        batch_size: Rows of a step.
        learning_rate: Peak of a linear schedule, reached where the warm-up ends, that ends at 0.
        warmup_proportion: Share of the steps over which the learning rate rises from 0.
        weight_decay: Of matrices; biases and LayerNorms have none.
        betas: AdamW's decay rates of its two moments.
        eps: AdamW's epsilon.
        max_grad_norm: Bound of the norm of all gradients together.
        dropout: Of embeddings, attention, hidden states and the pooled output.
        max_length: Longest row, tokens.
    """

    num_epochs: int = 3
    steps: int | None = None
    batch_size: int = 32
    learning_rate: float = 5e-5
    warmup_proportion: float = 0.1
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    max_grad_norm: float = 1.0
    dropout: float = 0.1
    max_length: int = 128

    def num_steps(self, num_features: int) -> int:
        """Optimizer steps of a run.

        Args:
            num_features: bertmod's training features.
        """
        return self.steps or self.num_epochs * math.ceil(num_features / self.batch_size)

    def recipe(
        self,
        task: Mapping[str, Any],
        *,
        data: str,
        checkpoint: str,
        seed: int,
        precision: str = "auto",
        bucket_window: int | None = None,
        adapters: Sequence[Mapping[str, Any]] = (),
        freeze: str = "none",
        fast: bool = True,
    ) -> dict[str, Any]:
        """A recipe of one task.

        Args:
            task: Its slot.
            data: Data folder.
            checkpoint: Checkpoint to start from.
            seed: The run's seed.
            precision: ``auto``, ``fp32`` or ``bf16``.
            bucket_window: Batches sorted by length together; None for bertmod's default.
            adapters: Its adapters.
            freeze: What of the encoder does not train.
            fast: As ``training.fast``.
        """
        data_keys: dict[str, Any] = {"dir": data, "max_length": self.max_length}
        if bucket_window is not None:
            data_keys["bucket_window"] = bucket_window
        return {
            "schema_version": 1,
            "seed": seed,
            "data": data_keys,
            "checkpoint": {"name": "auto", "path": checkpoint},
            "encoder": {
                "name": "bert",
                "hidden_dropout_prob": self.dropout,
                "attention_probs_dropout_prob": self.dropout,
            },
            "tasks": [dict(task)],
            "adapters": [dict(adapter) for adapter in adapters],
            "freeze": freeze,
            "optimizer": self._optimizer(),
            "schedule": {
                "name": "linear",
                "warmup_proportion": self.warmup_proportion,
                "decay_from": "warmup_end",
            },
            "training": {**self._length(), "precision": precision, "device": "cpu", "fast": fast},
            # Nothing is resumed or chosen by its score: the model of the last step is what counts.
            "evaluation": {"every_steps": NEVER},
            "saving": {"every_steps": NEVER},
            "trackers": [{"name": "jsonl"}],
        }

    def _optimizer(self) -> dict[str, Any]:
        return {
            "name": "adamw",
            "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay,
            "betas": list(self.betas),
            "eps": self.eps,
            "clip": "global",
            "max_grad_norm": self.max_grad_norm,
        }

    def _length(self) -> dict[str, Any]:
        length = {"num_epochs": self.num_epochs, "global_batch_size": self.batch_size}
        if self.steps is None:
            return length
        return {**length, "num_epochs": 1, "steps_per_epoch": self.steps}


NEVER = 10**9
"""More steps than any run has; the end of a run counts all the same."""
