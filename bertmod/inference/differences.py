"""Whether two methods differ, judged by runs of the same seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bertmod.inference.comparison import Comparison, Method
from bertmod.inference.scores import RunScores

FEWEST = 3
"""Fewest common seeds for a test: with two, hardly any difference is told from chance."""

FEWEST_RANKS = 6
"""Fewest for Wilcoxon's test: with five its p value cannot fall below 0.06."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """How much better or worse a method is than the first one, over seeds that both have.

    Attributes:
        method: The method's label.
        task: Id of the task; None for the mean over tasks.
        num_seeds: Seeds that both have.
        mean: Mean of the seeds' differences, in the metric's unit.
        low: Lower end of the 95 % confidence interval of the mean.
        high: Its upper end.
        p_value: Of Student's paired t test, two-sided; None where all differences are equal.
        p_ranks: Of Wilcoxon's signed-rank test, two-sided; None with fewer than six seeds, or
            where no seed differs.
    """

    method: str
    task: str | None
    num_seeds: int
    mean: float
    low: float
    high: float
    p_value: float | None
    p_ranks: float | None


@dataclass(frozen=True)
class Differences:
    """Every method against the first one.

    Attributes:
        base: Label of the first method.
        rows: What could be tested: for each method the mean over tasks, then its tasks.
        too_few: Label of each method that has too few seeds in common with the first one to their
            number.
    """

    base: str
    rows: tuple[Difference, ...]
    too_few: dict[str, int]


def differences(comparison: Comparison) -> Differences:
    """Test every method against the first one, seed by seed.

    Args:
        comparison: Methods side by side, at least one.

    Source: Student 1908; Wilcoxon 1945; both by scipy.
    """
    base, *others = comparison.methods
    rows: list[Difference] = []
    too_few = {}
    for method in others:
        common = sorted({*base.seeds} & {*method.seeds})
        if len(common) < FEWEST:
            too_few[method.label] = len(common)
            continue
        for task in (None, *comparison.metrics) if comparison.averaged else comparison.metrics:
            over = comparison.averaged if task is None else (task,)
            pairs = [_scores(each, over, common) for each in (method, base)]
            if all(pairs):
                rows.append(_difference(method.label, task, *pairs))
    return Differences(base.label, tuple(rows), too_few)


def _scores(method: Method, tasks: Sequence[str], seeds: Sequence[int]) -> list[float]:
    """The mean over tasks at each seed; nothing if a score is missing."""
    runs: dict[int, RunScores] = {run.seed: run for run in method.runs}
    table = [[runs[seed].scores.get(task) for task in tasks] for seed in seeds]
    known = [[score for score in row if score is not None] for row in table]
    if any(len(row) < len(tasks) for row in known):
        return []
    return [statistics.fmean(row) for row in known]


def _difference(
    method: str, task: str | None, scores: Sequence[float], base: Sequence[float]
) -> Difference:
    from scipy.stats import ttest_1samp, wilcoxon

    # Rounded, because a spread that is all rounding error makes any difference look certain.
    gaps = [round(mine - other, 12) for mine, other in zip(scores, base, strict=True)]
    mean, count = statistics.fmean(gaps), len(gaps)
    if len(set(gaps)) == 1:  # no spread: a t test would divide by it
        return Difference(method, task, count, mean, mean, mean, None, None)
    test = ttest_1samp(gaps, 0.0)  # of the differences: the paired test
    low, high = test.confidence_interval(CONFIDENCE)
    ranks = float(wilcoxon(gaps).pvalue) if count >= FEWEST_RANKS else None
    return Difference(method, task, count, mean, float(low), float(high), float(test.pvalue), ranks)
