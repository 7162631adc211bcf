"""What was measured, as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.series import BUSY, listed

Values = Mapping[str, Any]

SHARE = (
    "The share is what the matrix products of real tokens need over what a large product of the "
    "same precision gets here; the last column of a table of ratios is the ratio that there would "
    "be if that share were all. Where bertmod's last layer leaves out tokens that nobody reads, "
    "their products do not count for it."
)
"""A note of pages of steps and of predictions."""


def page(values: Values) -> str:
    """The measurements as a Markdown page.

    Args:
        values: What ``benchmarks/speed/measure.py`` writes as JSON.
    """
    return framed(values, (line for group in values["groups"] for line in _group(group, values)))


def framed(values: Values, lines: Iterable[str]) -> str:
    """A page of which the middle is given: its title before, what it was measured on behind.

    Args:
        values: As ``page`` takes them.
        lines: The middle.
    """
    notes = [*values["notes"], *([BUSY] if values["busy"] else [])]
    return "\n".join(
        [
            f"# {values['title']}",
            "",
            f"Medians of {values['rounds']} rounds in which all took turns, every other round in "
            "the reverse order; one more before them does not count.",
            "",
            *lines,
            *(f"{note}\n" for note in notes),
            *_rates(values["groups"]),
            f"- machine: {listed(values['machine'])}; targets are those of "
            f"{values['kind'] or 'no'} machines",
            *(f"- {name}: {listed(each)}" for name, each in _versions(values).items()),
            *(f"- {name}: {listed(each)}" for name, each in values["facts"].items()),
            f"- command: `{values['command']}`",
            "",
        ]
    )


def speeds(group: Values, name: str) -> list[float]:
    """What a contender got done a second, of each round."""
    (units,) = (each["units"] for each in group["contenders"] if each["name"] == name)
    return [units / run["seconds"] for run in group["measured"][name]]


def ratio(group: Values, name: str, over: str) -> float | None:
    """Median over the rounds of a contender's speed over another's; None if one is missing."""
    if not {name, over} <= group["measured"].keys():
        return None
    pairs = zip(speeds(group, name), speeds(group, over), strict=True)
    return median(mine / other for mine, other in pairs)


def share(group: Values, contender: Values) -> float | None:
    """What a contender needs of operations a second, over what matrix products get here.

    Both are medians over the rounds; None where its operations do not count, or no matrix products
    of its precision are timed.
    """
    rates = group["rates"].get(contender["precision"])
    if not rates or not contender["operations"]:
        return None
    seconds = median(run["seconds"] for run in group["measured"][contender["name"]])
    return float(contender["operations"] / seconds / median(rates))


def _group(group: Values, values: Values) -> Iterator[str]:
    """A group's two tables and who was missing."""
    unit = values["unit"]
    yield f"## {group['title']}"
    yield ""
    titles = f"{unit} a second | computed | share of the rate | target"
    yield f"| | precision | s a round | {titles} |"
    yield f"| --- | --- |{' ---: |' * 5}"
    yield from (_line(group, each) for each in group["contenders"])
    yield ""
    lines = list(_ratios(group))
    if lines:
        yield "| ratio | | over | measured | target | all products at the rate |"
        yield f"| --- | --- | --- |{' ---: |' * 3}"
        yield from lines
        yield ""
    for name, why in group["missing"].items():
        yield f"- not measured: {name}: {' '.join(why.split())}"
    if group["missing"]:
        yield ""


def _line(group: Values, contender: Values) -> str:
    name = contender["name"]
    runs, speed = group["measured"][name], median(speeds(group, name))
    computed = [run["computed"] / run["tokens"] for run in runs if "computed" in run]
    cells = [
        name,
        contender["precision"],
        f"{median(run['seconds'] for run in runs):.3f}",
        f"{speed:,.0f}" if speed >= 10 else f"{speed:.2f}",
        f"{median(computed):.2f}" if computed else "",
        percent(share(group, contender)),
        percent(group["shares"].get(name)),
    ]
    return f"| {' | '.join(cells)} |"


def _ratios(group: Values) -> Iterator[str]:
    """A line for each comparison of which both sides were measured."""
    known = {each["name"]: each for each in group["contenders"]}
    for each in group["ratios"]:
        found = ratio(group, each["name"], each["over"])
        if found is None:
            continue
        reached, target = share(group, known[each["name"]]), each["target"]
        limit = f"{found / reached:.2f}" if reached else ""
        cells = [
            each["title"],
            each["name"],
            each["over"],
            f"**{found:.2f}**",
            "" if target is None else f"{target:g}",
            limit,
        ]
        yield f"| {' | '.join(cells)} |"


def _rates(groups: Sequence[Values]) -> list[str]:
    """What one matrix product gets, by precision, over all groups."""
    lines = []
    for precision in groups[0]["rates"] if groups else ():
        found = [rate for group in groups for rate in group["rates"][precision]]
        if found:
            gflops = f"{median(found) / 1e9:,.0f} GFLOP/s"
            lines.append(f"- rate of a large {precision} matrix product: {gflops}")
    return lines


def _versions(values: Values) -> dict[str, dict[str, str]]:
    """Versions of bertmod, and of the peers that told theirs."""
    told = {
        name: about["versions"]
        for group in values["groups"]
        for name, about in group["workers"].items()
        if "versions" in about
    }
    return {**values["versions"], **told}


def percent(value: float | None) -> str:
    """A share as the page shows it, nothing where there is none."""
    return "" if value is None else f"{value:.0%}"
