"""How far something is that takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], object]
"""Called with the number of rows that were just done."""


class Progress(Protocol):
    """Shows how far it is: from a number of rows, and what is done with them, to a block."""

    def __call__(self, total: int, what: str) -> AbstractContextManager[Advance]: ...


@contextmanager
def no_progress(total: int, what: str) -> Iterator[Advance]:
    """Shows nothing."""
    del total, what
    yield lambda _: None
