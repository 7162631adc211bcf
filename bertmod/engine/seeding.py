"""Every random choice as a function of (seed, purpose, counter)."""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, independent of every other purpose's.

    Args:
        seed: The run's seed, any integer.
        purpose: Words and counters that name the choice, such as ``("rows", "cola", 3)``.
    """
    text = "\x1f".join([str(seed), *(str(part) for part in purpose)])
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """A fresh generator for one purpose; the same arguments give the same draws."""
    return np.random.Generator(np.random.Philox(derived_seed(seed, *purpose)))


def drawn(probabilities: np.ndarray, *, seed: int, step: int) -> int:
    """Place of the task that a step trains.

    Args:
        probabilities: Of each task, ``(tasks,)``, sums to 1.
        seed: The run's seed.
        step: Optimizer steps finished before it.
    """
    return int(generator(seed, "task", step).choice(len(probabilities), p=probabilities))


def seed_torch(seed: int, *purpose: str | int) -> None:
    """Seed torch's default generators, on every device, for what follows."""
    torch.manual_seed(derived_seed(seed, *purpose))
