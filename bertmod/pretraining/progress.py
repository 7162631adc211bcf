"""How far long work is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Shows how far it is: a number of units, what is done with them, and what they are."""

    def __call__(
        self, total: int, what: str, *, unit: str
    ) -> AbstractContextManager[Callable[[int], object]]: ...


@contextmanager
def no_progress(total: int, what: str, *, unit: str) -> Iterator[Callable[[int], object]]:
    """Shows nothing."""
    del total, what, unit
    yield lambda _: None
