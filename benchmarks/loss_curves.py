"""Training losses of two ways of making the same steps, beside what seeds do to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.results import Results, Run

FAST, PLAIN = "bertmod auto", "bertmod plain"

WINDOW = 20
"""Steps whose mean loss is compared: single ones differ by their rows more than by anything."""

STEPS = 200
"""How far the curves are compared."""


def curve_lines(results: Results) -> list[str]:
    """Lines of Markdown: windows of both curves, and whether they agree; none without two seeds.

    Args:
        results: Runs, those of bertmod with their losses.
    """
    fast, plain = (_windows(runs) for runs in results.paired(FAST, PLAIN))
    if len(fast) < 2:
        return []
    rows = [
        ("steps", f"{FAST}, {len(fast)} seeds", PLAIN, "apart by"),
        ("---", "---:", "---:", "---:"),
    ]
    apart = distances(fast, plain)
    for place, distance in enumerate(apart):
        first = place * WINDOW + 1
        values = (
            f"{each[:, place].mean():.4f} ± {each[:, place].std(ddof=1):.4f}"
            for each in (fast, plain)
        )
        rows.append((f"{first} to {first + WINDOW - 1}", *values, f"{distance:+.2f}"))
    return [
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"Mean training loss of windows of {WINDOW} steps, ± the standard deviation between seeds, "
        "which have the same rows in both. The last column is the difference of the means in such "
        f"deviations, at most {np.abs(apart).max():.2f}. Over all windows the two differ by "
        f"{_mean_and_error((fast - plain).mean(1))}.",
        "",
    ]


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Differences of mean curves in standard deviations between seeds.

    Args:
        one: Losses, (seeds, windows).
        other: Losses of the same seeds, (seeds, windows).

    Returns:
        (windows,), the first less the second.
    """
    spread = np.sqrt((one.var(0, ddof=1) + other.var(0, ddof=1)) / 2)
    found: np.ndarray = (one.mean(0) - other.mean(0)) / spread
    return found


def _mean_and_error(differences: np.ndarray) -> str:
    """Mean of seeds' differences and its standard error."""
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return f"{differences.mean():+.4f} ± {error:.4f} (standard error)"


def _windows(runs: Sequence[Run]) -> np.ndarray:
    """Mean losses of windows, (seeds, windows)."""
    curves: list[Sequence[float]] = [run.details.get("losses", ()) for run in runs]
    length = min((len(curve) for curve in curves), default=0)
    count = min(STEPS, length) // WINDOW
    if not count:
        return np.empty((0, 0))
    cut = np.array([curve[: count * WINDOW] for curve in curves])
    return cut.reshape(len(curves), count, WINDOW).mean(-1)
