"""How the C library holds the memory that a process frees. Others than glibc are left alone."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""From glibc's ``malloc.h``."""

_LARGE, _LARGEST = 2**20, 2**27
"""Bytes."""


def keep_freed_memory() -> None:
    """Have the C library keep blocks below 128 MiB, once they are freed, for later ones.

    By itself glibc maps blocks beyond a size, which it moves from 128 KiB to 32 MiB as it goes,
    for each use anew, and gives the end of its heap back: each training step then begins with up
    to twenty thousand page faults, 3 % of its time for a small BERT. Its peak is no higher.
    """
    _mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    _mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def give_back_freed_memory() -> None:
    """Have the C library return blocks of 1 MiB and more to the system once they are freed.

    glibc keeps blocks of up to 32 MiB for later ones. Parameters that are put together and taken
    apart all the time leave holes among them: with 12 layers of 512 a process on a CPU took
    1,560 MiB instead of 1,000.
    """
    _mallopt(_M_MMAP_THRESHOLD, _LARGE)


def _mallopt(name: int, value: int) -> None:
    found = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if found is not None:
        found(name, value)
