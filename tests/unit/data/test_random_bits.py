"""Random numbers by key and counter."""

from __future__ import annotations

import numpy as np
import pytest

from bertmod.data.random_bits import permuted, random_bits


def test_numbers_of_the_published_generator() -> None:
    """The first outputs of SplitMix64 from the state 1234567."""
    found = random_bits(np.array([1234567], np.uint64), np.arange(5))
    assert found.tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 17, 256, 257, 5000])
def test_every_place_has_another_thing(size: int) -> None:
    order = permuted(np.arange(size), size, key=7)
    assert sorted(order.tolist()) == list(range(size))


def test_any_place_alone_and_in_any_company() -> None:
    order = permuted(np.arange(1000), 1000, key=3)
    places = np.array([999, 4, 500])
    assert permuted(places, 1000, key=3).tolist() == order[places].tolist()
    assert (order != permuted(np.arange(1000), 1000, key=4)).mean() > 0.98


def test_orders_look_random() -> None:
    """Things that stood side by side are as far apart as in a shuffle: a third of the length."""
    size = 20_000
    order = permuted(np.arange(size), size, key=11)
    apart = np.abs(np.diff(order)).mean() / size
    assert abs(apart - 1 / 3) < 5 * 0.236 / size**0.5  # five standard errors
    assert abs(np.corrcoef(order, np.arange(size))[0, 1]) < 5 / size**0.5
