from __future__ import annotations

import math

import pytest

from bertmod.metrics import mae, rmse


def test_distances() -> None:
    assert rmse([1.0, 2.0, 3.0], [1.0, 4.0, 1.0]) == pytest.approx(math.sqrt(8 / 3))
    assert mae([1.0, 2.0, 3.0], [1.0, 4.0, 1.0]) == pytest.approx(4 / 3)
    assert rmse([2.5], [2.5]) == mae([2.5], [2.5]) == 0.0


@pytest.mark.parametrize("metric", [rmse, mae])
def test_what_has_no_distance(metric) -> None:
    assert math.isnan(metric([1.0, 2.0], [1.0, float("nan")]))
    with pytest.raises(ValueError, match=r"^no examples: their distance is undefined$"):
        metric([], [])
    with pytest.raises(ValueError, match="1 predictions for 2 labels"):
        metric([1.0, 2.0], [1.0])
