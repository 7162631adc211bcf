"""Random choices that are the same on every machine and every Python version."""

import random
from collections.abc import Sequence
from typing import TypeVar

ItemT = TypeVar("ItemT")


class Dice:
    """A stream of choices fixed by its seed.

    Only ``random.Random.random`` is used: the one method whose sequence Python promises to keep
    between versions.

    Args:
        seed: Any integer; equal seeds give equal streams.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def fraction(self) -> float:
        """Give a number in ``[0, 1)``."""
        return self._random()

    def index(self, count: int) -> int:
        """Give an integer in ``[0, count)``, each equally likely."""
        return int(self._random() * count)

    def chance(self, probability: float) -> bool:
        """Give True with a probability in ``[0, 1]``."""
        return self._random() < probability

    def choice(self, items: Sequence[ItemT]) -> ItemT:
        """Give one of the items, each equally likely."""
        return items[self.index(len(items))]

    def other(self, items: Sequence[ItemT], taken: ItemT) -> ItemT:
        """Give one of the items that differs from ``taken``; at least one must."""
        return self.choice([item for item in items if item != taken])

    def some(self, items: Sequence[ItemT], count: int) -> list[ItemT]:
        """Give ``count`` different positions of ``items``, in random order."""
        left = list(items)
        return [left.pop(self.index(len(left))) for _ in range(count)]
