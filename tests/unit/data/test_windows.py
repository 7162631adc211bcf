"""Windows over long texts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bertmod.data.windows import widest_context, windows


def test_a_text_that_fits_has_one_window() -> None:
    parts = windows(9, room=20, stride=4)
    assert parts.starts.tolist() == [0]
    assert parts.lengths.tolist() == [9]


def test_a_text_of_no_pieces_has_none() -> None:
    parts = windows(0, room=4, stride=2)
    assert len(parts.starts) == 0
    assert len(widest_context(parts)) == 0


def test_a_stride_beyond_the_room_leaves_nothing_out() -> None:
    assert windows(10, room=4, stride=9).starts.tolist() == [0, 4, 8]


@pytest.mark.parametrize(("room", "stride"), [(0, 1), (1, 0)])
def test_room_and_stride_are_positive(room: int, stride: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        windows(5, room=room, stride=stride)


@pytest.mark.parametrize("num_pieces", [1, 4, 5, 6, 7, 30, 31])
def test_every_piece_is_in_the_window_that_is_chosen_for_it(num_pieces: int) -> None:
    parts = windows(num_pieces, room=4, stride=2)
    chosen = widest_context(parts)
    starts = parts.starts[chosen]
    places = np.arange(num_pieces)
    assert ((starts <= places) & (places < starts + parts.lengths[chosen])).all()
    assert int(parts.starts[-1] + parts.lengths[-1]) == num_pieces


@pytest.mark.shared
def test_the_same_as_in_the_original(golden: Path) -> None:
    cases = json.loads((golden / "06_squad_functions/max_context.json").read_text())
    for case in cases:
        parts = windows(case["tokens"], room=case["max_tokens_for_doc"], stride=case["doc_stride"])
        assert np.stack(parts, axis=1).tolist() == case["spans"]
        assert widest_context(parts).tolist() == case["best_span_of_token"]
