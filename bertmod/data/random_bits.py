"""Random numbers by key and counter: any of them alone, in any order, the same everywhere."""

from __future__ import annotations

from math import isqrt

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ROUNDS = 4


def random_bits(key_N: np.ndarray, counter_N: np.ndarray) -> np.ndarray:
    """64 random bits for each key and counter, (draws,), uint64.

    Args:
        key_N: Keys, (draws,) or one for all, uint64.
        counter_N: Counters, (draws,) or one for all, any integer dtype, not negative.

    Source: Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195 (SplitMix64: the number that
        the generator of state ``key`` gives after ``counter`` others).
    """
    state: np.ndarray = key_N + (counter_N.astype(np.uint64) + np.uint64(1)) * _STEP
    state ^= state >> np.uint64(30)
    state *= _FIRST
    state ^= state >> np.uint64(27)
    state *= _SECOND
    state ^= state >> np.uint64(31)
    return state


def permuted(place_N: np.ndarray, size: int, *, key: int) -> np.ndarray:
    """What stands at some places of a random order of ``size`` things, (places,), int64.

    No list of the things is needed, however many there are.

    Args:
        place_N: Places, (places,), int64, in ``[0, size)``.
        size: Number of things.
        key: Which order, in ``[0, 2**64)``.

    Source: Luby and Rackoff 1988, doi:10.1137/0217022, for a Feistel network; Black and Rogaway
        2002, doi:10.1007/3-540-45760-7_9, for one of a rectangle, in which a number beyond the last
        thing goes through it again.
    """
    height = isqrt(size - 1) + 1
    width = -(-size // height)
    found = np.asarray(place_N, np.uint64).copy()
    left = np.arange(len(found))
    while len(left):
        found[left] = _network(found[left], height, width, key=key)
        left = left[found[left] >= size]
    return found.astype(np.int64)


def _network(number_N: np.ndarray, height: int, width: int, *, key: int) -> np.ndarray:
    """A permutation of the fields of a rectangle, numbered row by row."""
    sides = [np.uint64(height), np.uint64(width)]
    halves = list(np.divmod(number_N, sides[1]))
    for each in range(_ROUNDS):
        moved = each % 2
        keys = random_bits(np.array([key], np.uint64), np.array([each]))
        bits = random_bits(keys, halves[1 - moved]) >> np.uint64(32)
        shifted = halves[moved] + (bits * sides[moved] >> np.uint64(32))
        halves[moved] = np.where(shifted < sides[moved], shifted, shifted - sides[moved])
    return np.asarray(halves[0] * sides[1] + halves[1])
