"""What a label is: text in a file, target of a head, answer of a prediction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bertmod import DataError, TaskInfo
from bertmod.builtin.tasks.examples import Label

Decoded = Sequence[Mapping[str, np.ndarray]]


class LabelKind(Protocol):
    """How a kind of label is read, encoded and decoded.

    Attributes:
        key: Under which key a prediction holds the answer.
    """

    @property
    def key(self) -> str: ...

    def problems(self, texts: Sequence[str]) -> dict[int, str]:
        """Place of each text that is no label, and why."""
        ...

    def parse(self, texts: Sequence[str]) -> Sequence[Label]:
        """Labels of texts without problems."""
        ...

    def encode(self, labels: Sequence[Label], info: TaskInfo) -> np.ndarray:
        """What a head reads, (labels,)."""
        ...

    def decode(self, outputs: Decoded, info: TaskInfo) -> list[dict[str, Any]]:
        """Answers from what a head decoded, one per feature."""
        ...

    def usual(self, labels: Sequence[Label]) -> Label:
        """The answer of who does not read the texts."""
        ...


@dataclass(frozen=True)
class ClassLabels:
    """Labels that are names.

    Attributes:
        names: Every label name, in the order of the logits.
    """

    names: tuple[str, ...]
    key = "label"

    def problems(self, texts: Sequence[str]) -> dict[int, str]:
        """Place of each text that is no label name, and why."""
        known = set(self.names)
        if known.issuperset(texts):
            return {}
        wanted = ", ".join(f'"{name}"' for name in self.names)
        return {
            row: f'label "{text}" is none of {wanted}'
            for row, text in enumerate(texts)
            if text not in known
        }

    def parse(self, texts: Sequence[str]) -> list[Label]:
        """Label names; equal ones are one object, so that a large split stays small."""
        canonical = {name: name for name in self.names}
        return [canonical[text] for text in texts]

    def encode(self, labels: Sequence[Label], info: TaskInfo) -> np.ndarray:
        """Indices into ``info.labels``, (labels,), int64.

        Raises:
            DataError: If a label is not among them.
        """
        codes: dict[Label, int] = {name: code for code, name in enumerate(info.labels or ())}
        unknown = set(labels) - codes.keys()
        if unknown:
            accepted = ", ".join(f'"{name}"' for name in codes)
            raise DataError(f'unknown label "{min(unknown, key=str)}"; accepted: {accepted}')
        return np.array([codes[label] for label in labels], dtype=np.int64)

    def decode(self, outputs: Decoded, info: TaskInfo) -> list[dict[str, Any]]:
        """The most probable label and the probability of each."""
        names = info.labels or ()
        table = np.stack([arrays["probabilities"] for arrays in outputs])
        best = table.argmax(axis=1)
        return [
            {"label": names[code], "probabilities": dict(zip(names, row, strict=True))}
            for code, row in zip(best.tolist(), table.tolist(), strict=True)
        ]

    def usual(self, labels: Sequence[Label]) -> Label:
        """The most frequent label; on a tie the one that comes first in ``names``."""
        counts = Counter(labels)
        return max(self.names, key=lambda name: counts[name])


@dataclass(frozen=True)
class ValueLabels:
    """Labels that are numbers of a range.

    Attributes:
        low: Lowest value.
        high: Highest value.
    """

    low: float
    high: float
    key = "value"

    def problems(self, texts: Sequence[str]) -> dict[int, str]:
        """Place of each text that is no number of the range, and why."""
        return {
            row: f'"{text}" is not a number from {self.low:g} to {self.high:g}'
            for row, text in enumerate(texts)
            if not self.low <= _number(text) <= self.high
        }

    def parse(self, texts: Sequence[str]) -> list[Label]:
        """Values in the task's unit."""
        return [float(text) for text in texts]

    def encode(self, labels: Sequence[Label], info: TaskInfo) -> np.ndarray:
        """Values scaled to [0, 1], (labels,), float32."""
        low, high = info.value_range or (self.low, self.high)
        scaled = (np.asarray(labels, dtype=np.float64) - low) / (high - low)
        return scaled.astype(np.float32)

    def decode(self, outputs: Decoded, info: TaskInfo) -> list[dict[str, Any]]:
        """Values clipped to [0, 1] and scaled back to the range."""
        low, high = info.value_range or (self.low, self.high)
        values = np.array([float(arrays["value"]) for arrays in outputs])
        return [{"value": value} for value in (low + (high - low) * values.clip(0, 1)).tolist()]

    def usual(self, labels: Sequence[Label]) -> Label:
        """The mean."""
        return float(np.mean(np.asarray(labels, dtype=np.float64)))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
