"""How far two models lie apart, part by part of their output, batch by batch.

Shape letters: C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from bertmod.convert.sides import States
from bertmod.wording import listed

Labels = Sequence[str] | None


@dataclass(frozen=True)
class PartDifference:
    """How far B lies from A in one part of their output.

    Attributes:
        part: ``embedding output``, ``layer 0`` ..., ``pooled output``, or the logits' name.
        maximum: Largest absolute difference; NaN if one of the two has such a value.
        mean: Mean of the differences, B minus A.
        deviation: Standard deviation of the differences.
    """

    part: str
    maximum: float
    mean: float
    deviation: float


class Differences:
    """Differences of two models' states, added up batch by batch.

    Args:
        a: Label names of A in the order of its logits, if it has a head and they are known.
        b: The same of B.

    Attributes:
        unlike: What differs in kind, such as label names.
        notes: What is not compared, or compared in another order.
    """

    def __init__(self, a: Labels = None, b: Labels = None) -> None:
        self._sums: dict[str, _Sums] = {}
        self._order: list[int] | None = None
        unlike: list[str] = []
        notes: list[str] = []
        if a is not None and b is not None and tuple(a) != tuple(b):
            if sorted(a) == sorted(b):
                self._order = [list(b).index(label) for label in a]
                notes.append("B has the labels in another order: logits are compared by name")
            else:
                unlike.append(f"label names: {listed(a)} in A, {listed(b)} in B")
        # Each batch may say the same again: keys of a dictionary, for their order.
        self._unlike, self._notes = dict.fromkeys(unlike), dict.fromkeys(notes)

    @property
    def unlike(self) -> tuple[str, ...]:
        return tuple(self._unlike)

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    @property
    def parts(self) -> tuple[PartDifference, ...]:
        """The difference of each part that both have, so far."""
        return tuple(sums.result(part) for part, sums in self._sums.items())

    def add(self, a: States, b: States) -> None:
        """Add a batch.

        Args:
            a: What A gives of it.
            b: What B gives of it, as many layers of the same size.
        """
        for number, (one, two) in enumerate(zip(a.layers, b.layers, strict=True)):
            self._add("embedding output" if number == 0 else f"layer {number - 1}", one, two)
        if a.pooled_RH is not None and b.pooled_RH is not None:
            self._add("pooled output", a.pooled_RH, b.pooled_RH)
        elif a.pooled_RH is not b.pooled_RH:
            self._notes[f"{'A' if a.pooled_RH is None else 'B'} has no pooled output"] = None
        for name in dict.fromkeys((*a.logits, *b.logits)):
            self._add_logits(name, a.logits.get(name), b.logits.get(name))

    def _add_logits(self, name: str, a: Tensor | None, b: Tensor | None) -> None:
        title = name if name.endswith("logits") else f"{name} logits"
        if a is None or b is None:
            self._unlike[f"{title}: only in {'B' if a is None else 'A'}"] = None
        elif len(a) != len(b) or a.numel() != b.numel():
            self._unlike[f"{title}: {_width(a)} in A, {_width(b)} in B"] = None
        else:
            b_C = b.reshape(a.shape)  # where there is one of each row it may have its own axis
            named = self._order is not None and b_C.shape[-1] == len(self._order)
            self._add(title, a, b_C[..., self._order] if named else b_C)

    def _add(self, part: str, a: Tensor, b: Tensor) -> None:
        self._sums.setdefault(part, _Sums()).add(a, b)


@dataclass
class _Sums:
    """Differences of one part so far."""

    count: int = 0
    maximum: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    def add(self, a: Tensor, b: Tensor) -> None:
        difference = b.double() - a.double()
        largest = float(difference.abs().max())
        self.count += difference.numel()
        self.maximum = largest if math.isnan(largest) else max(self.maximum, largest)
        self.total += float(difference.sum())
        self.squares += float(difference.square().sum())

    def result(self, part: str) -> PartDifference:
        mean = self.total / self.count
        variance = max(self.squares / self.count - mean * mean, 0.0)
        return PartDifference(part, self.maximum, mean, math.sqrt(variance))


def _width(logits: Tensor) -> str:
    """What a row's or token's logits look like."""
    return " x ".join(map(str, logits.shape[1:])) or "1"
