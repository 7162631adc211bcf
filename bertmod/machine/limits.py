"""How much of a machine a process may use: Linux's control groups, versions 1 and 2."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_NO_LIMIT = 2**60
"""Version 1 writes a number about this large, in bytes, where memory has no limit."""


@dataclass(frozen=True)
class Limits:
    """What a container or job may use.

    Attributes:
        cores: Cores' worth of time; None: all that it may run on.
        memory: Memory, bytes; None: all that there is.
    """

    cores: float | None = None
    memory: int | None = None


def read_limits(root: Path = Path("/")) -> Limits:
    """The limits of this process, the least of its groups and those above them.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    cores: list[float] = []
    memory: list[int] = []
    for group in _groups(root):
        cores += _quota(group)
        memory += _bytes(group / "memory.max") + _bytes(group / "memory.limit_in_bytes")
    return Limits(min(cores, default=None), min(memory, default=None))


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process can keep busy: those it may run on, as far as its quota goes.

    Args:
        root: Where ``proc`` and ``sys`` are.

    Returns:
        At least 1; a part of a core counts as one.
    """
    allowed = allowed_cores()
    quota = read_limits(root).cores
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def allowed_cores() -> int:
    """Cores that this process may run on, for whatever share of their time."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _groups(root: Path) -> Iterator[Path]:
    """Folders of the process's groups and of those above them, in any version's layout."""
    listing = root / "proc/self/cgroup"
    lines = listing.read_text(encoding="utf-8").splitlines() if listing.is_file() else []
    top = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        bases = [top / name for name in controllers.split(",")] if controllers else [top]
        inner = Path(path.lstrip("/"))
        for base in bases:
            # inside a container its own group may be mounted as the top
            yield from (base / part for part in (inner, *inner.parents))


def _quota(group: Path) -> list[float]:
    """Cores' worth of time of a group, if it has a limit."""
    words = _words(group / "cpu.max")
    if not words:
        words = _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
    if len(words) != 2 or not words[0].isdigit() or not int(words[1]):
        return []  # "max", or -1
    return [int(words[0]) / int(words[1])]


def _bytes(path: Path) -> list[int]:
    words = _words(path)
    return [int(words[0])] if words and words[0].isdigit() and int(words[0]) < _NO_LIMIT else []


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").split()
    except OSError:
        return []
