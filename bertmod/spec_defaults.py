"""What the functions of a spec answer where a component states none of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bertmod.errors import Problem

Problems = Sequence[Problem]


def no_problems(*_: Any) -> Problems:
    """The check of a component whose options cannot clash."""
    return ()


def no_sites(*_: Any) -> frozenset[str]:
    """The answer of an adapter that can be the first to act at each of its sites."""
    return frozenset()


def unchanged(config: Any) -> Any:
    """The completion of options none of which stands for something to be found out."""
    return config


def checkpoint_wins(*_: Any) -> bool:
    """The rule of an encoder none of whose options may differ from the checkpoint's."""
    return False


def marks_alone(*_: Any) -> int:
    """The shortest rows of a task that cuts its texts to any length: [CLS] and [SEP]."""
    return 2
