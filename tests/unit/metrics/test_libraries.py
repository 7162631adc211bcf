"""A library that lacks is told of by the first score, also by one that needs no arithmetic."""

from __future__ import annotations

import sys

import pytest

from bertmod.metrics import matthews, pearson, spearman


@pytest.mark.parametrize(
    ("metric", "library"), [(matthews, "sklearn"), (pearson, "scipy"), (spearman, "scipy")]
)
def test_a_missing_library_is_told_before_it_is_needed(metric, library, monkeypatch) -> None:
    labels, constant = [0.0, 1.0], [1.0, 1.0]
    assert metric(labels, constant) == 0.0
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{library}'"):
        metric(labels, constant)
