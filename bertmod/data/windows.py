"""Windows over a text that is longer than a row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Windows(NamedTuple):
    """Overlapping parts of a text, in their order.

    Attributes:
        starts: First piece of each window, (windows,), int64.
        lengths: Pieces of each window, (windows,), int64.
    """

    starts: np.ndarray
    lengths: np.ndarray


def windows(num_pieces: int, *, room: int, stride: int) -> Windows:
    """Windows that cover a text, each beginning a stride after the one before it.

    Args:
        num_pieces: Pieces of the text, 0 or more; a text of none has no window.
        room: Pieces that fit in a window, at least 1.
        stride: Pieces between the starts of neighbours, at least 1; no more than ``room`` is taken
            of it, so that no piece is left out.

    Raises:
        ValueError: If ``room`` or ``stride`` is below 1.

    Source: google-research/bert run_squad.py.
    """
    if room < 1 or stride < 1:
        raise ValueError(f"room {room} and stride {stride} must be at least 1")
    if num_pieces < 1:
        return Windows(np.empty(0, np.int64), np.empty(0, np.int64))
    step = min(room, stride)
    count = 1 + max(0, -(-(num_pieces - room) // step))
    starts = np.arange(count, dtype=np.int64) * step
    return Windows(starts, np.minimum(num_pieces - starts, room))


def widest_context(parts: Windows) -> np.ndarray:
    """For each piece of a text, the window that shows most on the narrower side of it.

    The score of a window is the lesser of the pieces before and behind, plus a hundredth of its
    length; the first of equals wins.

    Returns:
        Window of each piece, (pieces,), int64.

    Source: google-research/bert run_squad.py.
    """
    if not len(parts.starts):
        return np.empty(0, np.int64)
    total = int(parts.starts[-1] + parts.lengths[-1])
    best = np.full(total, -1.0)
    chosen = np.zeros(total, np.int64)
    for number, (start, length) in enumerate(zip(*map(np.ndarray.tolist, parts), strict=True)):
        before = np.arange(length)
        score = np.minimum(before, length - 1 - before) + 0.01 * length
        part = slice(start, start + length)
        better = score > best[part]
        best[part][better] = score[better]
        chosen[part][better] = number
    return chosen
