"""Paired tests between methods over seeds, and how they are shown."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import ttest_rel, wilcoxon

from bertmod.inference.comparison import Comparison, compare
from bertmod.inference.comparison_table import render_csv, render_markdown, render_text
from bertmod.inference.differences import differences

pytestmark = pytest.mark.filterwarnings("error")

SHARED = {"cola": (0.50, 0.52, 0.48, 0.51, 0.49, 0.53), "rte": (0.60, 0.64, 0.62, 0.61, 0.63, 0.6)}
PALS = {"cola": (0.55, 0.53, 0.54, 0.55, 0.52, 0.56), "rte": (0.66, 0.63, 0.68, 0.67, 0.62, 0.64)}


@pytest.fixture
def compared(make_run: Callable[..., Path], tmp_path: Path) -> Callable[..., Comparison]:
    """Compares two methods over the first seeds of the scores above."""

    def make(num_seeds: int, *, shift: int = 0, **options: object) -> Comparison:
        for name, scores, first, adapter in (
            ("shared", SHARED, 1, 0),
            ("pals", PALS, 1 + shift, 5),
        ):
            for place in range(num_seeds):
                run = {task: values[place] for task, values in scores.items()}
                seed = first + place
                make_run(f"{name}/seed-{seed}", run, seed=seed, adapter=adapter, data="/d")
        return compare([tmp_path / "shared", tmp_path / "pals"], **options)

    return make


def test_the_tests_are_scipys_on_seeds_that_both_have(compared) -> None:
    found = differences(compared(6, shift=1))
    assert (found.base, found.too_few) == ("shared", {})
    average, cola, rte = found.rows
    assert [(row.method, row.task, row.num_seeds) for row in found.rows] == [
        *(("pals", None, 5), ("pals", "cola", 5), ("pals", "rte", 5)),
    ]
    mine, base = PALS["cola"][:5], SHARED["cola"][1:]
    test = ttest_rel(mine, base)
    interval = test.confidence_interval(0.95)
    assert cola.mean == pytest.approx(sum(mine) / 5 - sum(base) / 5)
    assert (cola.low, cola.high) == pytest.approx(tuple(interval))
    assert cola.p_value == pytest.approx(test.pvalue)
    assert cola.p_ranks is None
    assert average.mean == pytest.approx((cola.mean + rte.mean) / 2)
    assert average.low < average.mean < average.high


def test_ranks_are_tested_from_six_seeds(compared) -> None:
    cola = differences(compared(6)).rows[1]
    gaps = [round(a - b, 12) for a, b in zip(PALS["cola"], SHARED["cola"], strict=True)]
    assert cola.p_ranks == pytest.approx(wilcoxon(gaps).pvalue)


def test_too_few_seeds_are_said(compared) -> None:
    found = compared(2)
    assert differences(found).rows == ()
    assert render_text(found).splitlines()[-1] == (
        "no paired test with shared: too few common seeds (pals 2; it takes 3)"
    )
    assert "minus" not in render_csv(found)


def test_differences_that_are_all_equal_have_no_p(make_run, tmp_path) -> None:
    for name, gap, adapter in (("shared", 0.0, 0), ("pals", 0.1, 5)):
        for seed, score in enumerate((0.3, 0.5, 0.7), 1):
            make_run(f"{name}/seed-{seed}", {"cola": score + gap}, seed=seed, adapter=adapter)
    (row,) = differences(compare([tmp_path / "shared", tmp_path / "pals"])).rows
    assert (row.mean, row.low, row.high) == pytest.approx((0.1, 0.1, 0.1))
    assert (row.p_value, row.p_ranks) == (None, None)


def test_a_task_that_one_method_lacks_is_not_tested(make_run, tmp_path) -> None:
    for seed in (1, 2, 3):
        make_run(f"one/seed-{seed}", {"cola": 0.1 * seed}, seed=seed)
        both = {"cola": 0.2 + 0.05 * seed, "rte": None if seed == 3 else 0.5}
        make_run(f"two/seed-{seed}", both, seed=seed, adapter=5)
    found = differences(compare([tmp_path / "one", tmp_path / "two"]))
    assert [row.task for row in found.rows] == ["cola"]


def test_text_and_markdown(compared) -> None:
    found = compared(3)
    notes = [
        "minus shared: mean difference at equal seeds, scaled as the scores, and its 95 % "
        "confidence interval",
        "p: two-sided, Student's paired t test and Wilcoxon's signed-rank test (it takes 6 seeds); "
        "not corrected for the number of tests",
    ]
    assert render_text(found).splitlines()[-8:] == [
        "",
        "method  task     seeds  minus shared  95 % interval  p (t)  p (Wilcoxon)",
        "------------------------------------------------------------------------",
        "pals    average      3          +3.8  -4.4 to +12.1  0.184             -",
        "pals    cola         3          +4.0  -2.6 to +10.6  0.120             -",
        "pals    rte          3          +3.7  -6.4 to +13.7  0.257             -",
        *notes,
    ]
    assert render_markdown(found).splitlines()[-8:] == [
        "| method | task | seeds | minus shared | 95 % interval | p (t) | p (Wilcoxon) |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
        "| pals | average | 3 | +3.8 | -4.4 to +12.1 | 0.184 | - |",
        "| pals | cola | 3 | +4.0 | -2.6 to +10.6 | 0.120 | - |",
        "| pals | rte | 3 | +3.7 | -6.4 to +13.7 | 0.257 | - |",
        "",
        *(f"- {note}" for note in notes),
    ]


def test_a_metric_that_falls_keeps_its_unit(make_run, tmp_path) -> None:
    metrics = {"text": "dev/perplexity"}
    for name, scores, adapter in (("old", (10.0, 12.0, 14.0), 0), ("new", (9.0, 12.0, 13.0), 5)):
        for seed, score in enumerate(scores, 1):
            make_run(
                f"{name}/seed-{seed}", {"text": score}, seed=seed, adapter=adapter, metrics=metrics
            )
    found = compare([tmp_path / "old", tmp_path / "new"], falling=["perplexity"])
    assert "new     text      3     -0.667  -2.101 to +0.768  0.184" in render_text(found)


def test_csv(compared) -> None:
    found = compared(6)
    shared, pals = csv.DictReader(io.StringIO(render_csv(found)))
    row = differences(found).rows[1]
    name = "cola/dev/matthews minus shared: "
    assert float(pals[f"{name}difference"]) == pytest.approx(row.mean, rel=1e-5)
    assert float(pals[f"{name}low"]) == pytest.approx(row.low, rel=1e-5)
    assert float(pals[f"{name}p Wilcoxon"]) == pytest.approx(row.p_ranks, rel=1e-5)
    assert shared[f"{name}difference"] == ""
