"""Differences between methods as text, Markdown and CSV."""

from __future__ import annotations

from bertmod.inference.comparison import Comparison
from bertmod.inference.differences import FEWEST, FEWEST_RANKS, Difference, Differences

NOTHING = "-"
"""A cell without a number."""

AVERAGE = "average"

COLUMNS = ("difference", "low", "high", "p t", "p Wilcoxon")
"""What a CSV file says of a score beside it, the first method being what it is compared with."""


def difference_rows(found: Differences, comparison: Comparison) -> list[list[str]]:
    """Cells of text, headings first; nothing where nothing could be tested."""
    if not found.rows:
        return []
    titles = ["method", "task", "seeds", f"minus {found.base}", "95 % interval"]
    rows = [[*titles, "p (t)", "p (Wilcoxon)"]]
    for row in found.rows:
        falling = row.task in comparison.smaller_is_better
        low, mean, high = (_gap(value, falling) for value in (row.low, row.mean, row.high))
        cells = [row.method, row.task or AVERAGE, str(row.num_seeds), mean, f"{low} to {high}"]
        rows.append([*cells, _chance(row.p_value), _chance(row.p_ranks)])
    return rows


def difference_notes(found: Differences) -> list[str]:
    """What there is to know about the differences, one line each."""
    notes = []
    if found.rows:
        notes.append(
            f"minus {found.base}: mean difference at equal seeds, scaled as the scores, and its "
            "95 % confidence interval"
        )
        notes.append(
            "p: two-sided, Student's paired t test and Wilcoxon's signed-rank test (it takes "
            f"{FEWEST_RANKS} seeds); not corrected for the number of tests"
        )
    if found.too_few:
        each = ", ".join(f"{method} {count}" for method, count in found.too_few.items())
        notes.append(
            f"no paired test with {found.base}: too few common seeds ({each}; it takes {FEWEST})"
        )
    return notes


def csv_cells(found: Differences, method: str, task: str | None) -> tuple[str, ...]:
    """Cells of ``COLUMNS`` for one method and task, as measured; empty where nothing was tested."""
    row = next((row for row in found.rows if (row.method, row.task) == (method, task)), None)
    return ("",) * len(COLUMNS) if row is None else _plain(row)


def _plain(row: Difference) -> tuple[str, ...]:
    values = (row.mean, row.low, row.high, row.p_value, row.p_ranks)
    return tuple("" if value is None else f"{value:.6g}" for value in values)


def _gap(value: float, falling: bool) -> str:
    """A difference in the unit of the table's scores, with its sign."""
    return f"{value:+.3f}" if falling else f"{100 * value:+.1f}"


def _chance(p_value: float | None) -> str:
    if p_value is None:
        return NOTHING
    return f"{p_value:.3f}" if p_value >= 0.001 else "<0.001"
