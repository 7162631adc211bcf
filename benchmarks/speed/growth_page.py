"""Curves of cost as Markdown tables, each with what its matrix products alone would cost, and why.

The sentences name what a cost is made of; every number in them is computed from the measurement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from benchmarks.speed.growth import ADAPTER, BATCH, PREDICTION, TASK, TRAINING
from benchmarks.speed.page import framed, percent, share

NOTES = [
    "ms: of a step, or of an answer to as many rows, batches formed included. Products alone: what "
    "the matrix products of the rows' tokens would take at the rate of a large one, measured in "
    "the same rounds. Times: over the table's first line, for what was measured the median over "
    "the rounds. Peak: the largest resident memory of a process that has but this model; it "
    "holds the imported libraries too.",
    "Rows are MRPC's: where lengths are given, texts joined and cut to them; elsewhere as they "
    "are. Dropout 0.1, AdamW, gradients clipped by their global norm, precision auto.",
]


@dataclass(frozen=True)
class Row:
    """A measured point.

    Attributes:
        size: What of it grows.
        rows: Rows of a step.
        tokens: Tokens of a step.
        ms: Median milliseconds of a step.
        times: Median over the rounds of its time over the first point's.
        products: Milliseconds of its matrix products at the machine's rate; None without a rate.
        product_times: Its products over the first point's.
        attention: Share of the encoder's attention in the products.
        share: Share of the machine's rate that it reaches.
        facts: What its process told of the last round.
    """

    size: int
    rows: float
    tokens: float
    ms: float
    times: float
    products: float | None
    product_times: float
    attention: float
    share: float | None
    facts: Mapping[str, Any]


def page(values: Mapping[str, Any]) -> str:
    """The measurements as a Markdown page.

    Args:
        values: What ``benchmarks/speed/measure.py`` writes as JSON.
    """
    curves = values["curves"]
    return framed(
        values,
        (line for group in values["groups"] for line in _curve(group, curves[group["title"]])),
    )


def rows_of(group: Mapping[str, Any], curve: Mapping[str, Any]) -> list[Row]:
    """The points of a group that were measured.

    Args:
        group: What ``contest.hold`` gave.
        curve: What ``Curve.shown`` gave.
    """
    contenders = {each["name"]: each for each in group["contenders"]}
    points = [each for each in curve["points"] if each["name"] in contenders]
    found: list[Row] = []
    for point in points:
        name = point["name"]
        seconds, others = (
            [run["seconds"] / each["steps"] for run in group["measured"][each["name"]]]
            for each in (point, points[0])
        )
        contender, rates = contenders[name], group["rates"].get(contenders[name]["precision"])
        work, other_work = (
            contenders[each["name"]]["operations"] / each["steps"] for each in (point, points[0])
        )
        found.append(
            Row(
                size=point["size"],
                rows=point["rows"] / point["steps"],
                tokens=point["tokens"] / point["steps"],
                ms=1000 * median(seconds),
                times=median(mine / his for mine, his in zip(seconds, others, strict=True)),
                products=1000 * work / median(rates) if rates else None,
                product_times=work / other_work,
                attention=point["attention"],
                share=share(group, contender),
                facts=group["measured"][name][-1],
            )
        )
    return found


def _curve(group: Mapping[str, Any], curve: Mapping[str, Any]) -> Iterator[str]:
    """A table and its sentence."""
    yield f"## {group['title']}"
    yield ""
    rows, more = rows_of(group, curve), COLUMNS[curve["kind"]]
    titles = ["ms", "times", "products alone, ms", "times", "share of the rate", *more]
    yield f"| {' | '.join([curve['heading'], *titles])} |"
    yield f"| ---: |{' ---: |' * len(titles)}"
    for row in rows:
        products = "" if row.products is None else f"{row.products:.1f}"
        cells = [f"{row.size}", f"{row.ms:.1f}", f"{row.times:.2f}", products]
        cells += [f"{row.product_times:.2f}", percent(row.share)]
        yield f"| {' | '.join([*cells, *(shown(row) for shown in more.values())])} |"
    yield ""
    for name, why in group["missing"].items():
        yield f"- not measured: {name}: {' '.join(why.split())}"
    if len(rows) > 1:
        yield f"Why: {curve['detail']}{REASONS[curve['kind']](rows)}"
        yield ""


def _peak(row: Row) -> str:
    return f"{row.facts['peak_bytes'] / 2**20:,.0f}"


COLUMNS: dict[str, dict[str, Callable[[Row], str]]] = {
    BATCH: {
        "tokens": lambda row: f"{row.tokens:,.0f}",
        "ms a 1,000 tokens": lambda row: f"{1000 * row.ms / row.tokens:.1f}",
        "peak, MiB": _peak,
    },
    TRAINING: {
        "rows": lambda row: f"{row.rows:.0f}",
        "attention in the products": lambda row: percent(row.attention),
        "peak, MiB": _peak,
    },
    PREDICTION: {
        "rows": lambda row: f"{row.rows:.0f}",
        "attention in the products": lambda row: percent(row.attention),
    },
    TASK: {
        "parameters": lambda row: f"{row.facts['parameters']:,}",
        "start, s": lambda row: f"{row.facts['starting_seconds']:.2f}",
        "peak, MiB": _peak,
    },
    ADAPTER: {
        "added parameters": lambda row: f"{row.facts['added']:,}",
        "peak, MiB": _peak,
    },
}
"""Further columns by kind of curve."""


def line_through(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Value at 0 and slope of the line whose relative errors have the least squares.

    Args:
        x: Any numbers, two of them different.
        y: As many, positive.
    """
    columns = np.stack([np.ones(len(x)), np.asarray(x)], axis=1) / np.asarray(y)[:, None]
    (start, slope), *_ = np.linalg.lstsq(columns, np.ones(len(x)), rcond=None)
    return float(start), float(slope)


def _batch(rows: Sequence[Row]) -> str:
    fixed, slope = line_through([row.tokens / 1000 for row in rows], [row.ms for row in rows])
    last = rows[-1]
    alone = 1000 * (last.products or 0.0) / last.tokens
    return (
        f"a straight line through the points has {fixed:.1f} ms for a step without tokens and "
        f"{slope:.1f} ms for every 1,000 (products alone: {alone:.1f}). The first part is what a "
        f"step does once: the norm, the clipping and AdamW's update of {last.facts['trained']:,} "
        "parameters, which come from memory whatever the rows are, and the calls of some hundred "
        "operators. All else is done token by token, so that a step grows with its tokens as soon "
        "as they outweigh that."
    )


def _length(rows: Sequence[Row], once: str) -> str:
    """Why a longer row costs more, be there as many tokens or as many rows.

    Args:
        rows: The points.
        once: What is done once, however many tokens there are.
    """
    first, last = rows[0], rows[-1]
    tokens = last.tokens / first.tokens
    start = "every line has as many tokens, and so as many products with the weights"
    if tokens > 1:
        start = (
            f"the last line has {tokens:.0f} times the tokens of the first, and as many times the "
            "products with the weights"
        )
    return (
        f"{start}; attention compares a token with all of its row, which costs more the longer it "
        f"is: {first.attention:.1%} of the products in the first line, {last.attention:.0%} in the "
        f"last. All products together grow {last.product_times:.2f} times, the time "
        f"{last.times:.2f} times{_rest(last, once)}."
    )


def _rest(last: Row, once: str) -> str:
    """What is no product, by whether the time grew more or less than the products."""
    if last.times > 1.05 * last.product_times:
        return (
            ": the rest is what attention does to every pair of tokens beside its products "
            "(exponentials, sums, in training dropout), and the narrow matrices of its heads, "
            "which run below the rate"
        )
    if last.times < 0.95 * last.product_times:
        return f": less, because what is done once ({once}) weighs the more the fewer tokens are"
    return ""


def _tasks(rows: Sequence[Row]) -> str:
    first, last = rows[0], rows[-1]
    others, idle = last.size - first.size, last.ms - first.ms
    each = {
        name: (last.facts[name] - first.facts[name]) / others
        for name in ("parameters", "peak_bytes", "starting_seconds")
    }
    return (
        "a step is of one task. The adapters and heads of the others are not called and have no "
        "gradients: forward and backward pass, clipping and update leave them out, and the "
        f"products are the same in every line. With {others} more tasks a step took "
        f"{last.times:.3f} times as long ({idle:+.2f} ms, {1000 * idle / others:+.0f} us a task: "
        "passing over a parameter without a gradient). What a task does cost is its keep: "
        f"{each['parameters']:,.0f} parameters, {each['peak_bytes'] / 2**20:.1f} MiB (weights, and "
        f"two moments of each), {1000 * each['starting_seconds']:.0f} ms at the start."
    )


def _adapters(rows: Sequence[Row]) -> str:
    smallest, last, found = rows[0], rows[-1], []
    if not smallest.size:
        smallest = rows[1]
        found.append(
            f"The smallest adds {smallest.product_times - 1:.1%} to the products of a step and "
            f"{smallest.times - 1:.1%} to its time: its operators are called in every layer "
            "whatever its size, and narrow matrices run below the rate. "
        )
    else:
        found.append(
            "The encoder's own products are two of three, forward and for the gradients of its "
            f"inputs, and at most {last.facts['trained']:,} parameters are updated. "
        )
    products, times = (
        getattr(last, name) / getattr(smallest, name) for name in ("product_times", "times")
    )
    added = last.facts["added"] / smallest.facts["added"]
    return (
        f"{''.join(found)}From {smallest.size} to {last.size} its parameters grow {added:.1f} "
        f"times, all products of a step {products:.2f} times, and the time {times:.2f} times."
    )


REASONS: dict[str, Callable[[Sequence[Row]], str]] = {
    BATCH: _batch,
    TRAINING: partial(_length, once="the optimizer, the calls of operators"),
    PREDICTION: partial(_length, once="the conversion of weights, the calls of operators"),
    TASK: _tasks,
    ADAPTER: _adapters,
}
"""The sentences below a table, by kind of curve, for two points or more."""
