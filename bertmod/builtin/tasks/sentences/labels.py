"""What a label is: text in a file, target of a head, answer of a prediction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bertmod import DataError, TaskInfo
from bertmod.builtin.tasks.sentences.examples import Label

Decoded = Sequence[Mapping[str, np.ndarray]]


class LabelKind(Protocol):
    """How a kind of label is read, encoded and decoded.

    Attributes:
        key: Under which key a prediction holds the answer.
    """

    @property
    def key(self) -> str: ...

    def problems(self, texts: Sequence[Any]) -> dict[int, str]:
        """Place of each text that is no label, and why."""
        ...

    def parse(self, texts: Sequence[Any]) -> Sequence[Label]:
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
        names: Every label name, in the order of the logits; empty where a head knows them and the
            data does not: then every text is a label until it is encoded.
    """

    names: tuple[str, ...]
    key = "label"

    def problems(self, texts: Sequence[str]) -> dict[int, str]:
        """Place of each text that is no label name, and why."""
        known = set(self.names or texts)
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
        canonical = {name: name for name in self.names or texts}
        return [canonical[text] for text in texts]

    def encode(self, labels: Sequence[Label], info: TaskInfo) -> np.ndarray:
        """Indices into ``info.labels``, (labels,), int64.

        Raises:
            DataError: If a label is not among them.
        """
        codes = _codes(labels, info)
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
        return max(self.names or sorted(counts, key=str), key=lambda name: counts[name])


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
            if not self.low <= number_of(text) <= self.high
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


@dataclass(frozen=True)
class FlagLabels:
    """Any number of names per example.

    Attributes:
        names: Every label name, in the order of the logits; empty as in ``ClassLabels``.
    """

    names: tuple[str, ...]
    key = "labels"

    def problems(self, texts: Sequence[Sequence[str]]) -> dict[int, str]:
        """Place of each list that has an unknown name, and which."""
        found = ClassLabels(self.names)
        unknown = {row: list(found.problems(names).values()) for row, names in enumerate(texts)}
        return {row: whys[0] for row, whys in unknown.items() if whys}

    def parse(self, texts: Sequence[Sequence[str]]) -> list[Label]:
        """The names of each example, each once, in the order of ``names``."""
        places = {name: place for place, name in enumerate(self.names)}
        return [sorted(set(names), key=lambda name: (places.get(name, 0), name)) for names in texts]

    def encode(self, labels: Sequence[Label], info: TaskInfo) -> np.ndarray:
        """1 for each of ``info.labels`` that is there, else 0, (labels, names), float32.

        Raises:
            DataError: If a name is not among them.
        """
        lists = [names for names in labels if isinstance(names, list)]
        codes = _codes([name for names in lists for name in names], info)
        flags = np.zeros((len(labels), len(info.labels or ())), dtype=np.float32)
        for row, names in enumerate(lists):
            flags[row, [codes[name] for name in names]] = 1
        return flags

    def decode(self, outputs: Decoded, info: TaskInfo) -> list[dict[str, Any]]:
        """The labels that are more probable than not, and the probability of each."""
        names = info.labels or ()
        table = np.stack([arrays["probabilities"] for arrays in outputs]).tolist()
        return [
            {
                "labels": [name for name, value in zip(names, row, strict=True) if value > 0.5],
                "probabilities": dict(zip(names, row, strict=True)),
            }
            for row in table
        ]

    def usual(self, labels: Sequence[Label]) -> Label:
        """The labels that more than half of the examples have."""
        counts = Counter(name for names in labels if isinstance(names, list) for name in names)
        return [name for name in self.names or sorted(counts) if 2 * counts[name] > len(labels)]


def _codes(labels: Iterable[Any], info: TaskInfo) -> dict[Any, int]:
    """Place of each label name among ``info.labels``.

    Raises:
        DataError: If one of the labels is not among them.
    """
    codes = {name: code for code, name in enumerate(info.labels or ())}
    unknown = set(labels) - codes.keys()
    if unknown:
        accepted = ", ".join(f'"{name}"' for name in codes)
        raise DataError(f'unknown label "{min(unknown, key=str)}"; accepted: {accepted}')
    return codes


def number_of(text: str) -> float:
    """The number that a text says; NaN if it says none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
