"""Numbers as text: byte for byte what json writes of Python's rounded floats."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertmod.inference.decimals import decimal_rows


def pythons(values: np.ndarray) -> list[str]:
    return [json.dumps([round(float(x), 6) for x in row])[1:-1] for row in values]


@pytest.mark.parametrize("scale", [1e-7, 1e-5, 1e-3, 1.0, 100.0, 1e4, 1e12])
def test_numbers_of_every_size(scale) -> None:
    values = np.random.default_rng(0).standard_normal((50, 40)) * scale
    assert decimal_rows(values.astype(np.float32)) == pythons(values.astype(np.float32))


def test_ties_zeros_and_the_ends_of_the_tables() -> None:
    ties = np.float32(2.0) ** -np.arange(1, 30, dtype=np.float32)
    edges = [
        0.0,
        1e-6,
        9.9e-5,
        9.95e-5,
        1e-4,
        0.1,
        0.999999,
        0.9999996,
        1.0,
        10.0,
        998.99997,
        999.0,
    ]
    values = np.concatenate([ties, 3 * ties, np.array(edges, np.float32)])
    table = np.stack([values, -values])
    assert decimal_rows(table) == pythons(table)
    # Each alone, so that one beyond the tables does not speak for the others.
    assert decimal_rows(values[:, None]) == pythons(values[:, None])
    for value in table.ravel():
        assert decimal_rows(np.array([[value]])) == pythons(np.array([[value]]))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_any_numbers(numbers) -> None:
    values = np.array([numbers], np.float32)
    assert decimal_rows(values) == pythons(values)
    assert decimal_rows(values.T) == pythons(values.T)


def test_no_rows() -> None:
    assert decimal_rows(np.empty((0, 4), np.float32)) == []
