"""Load reports as text."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from bertmod.contracts.checkpoint import LoadReport
from bertmod.wording import counted

Reason = Literal["missing", "unexpected", "misshaped", "unequal"]

MEANING: Mapping[Reason, str] = {
    "missing": "missing from the file",
    "unexpected": "in the file, but known to no part of the model",
    "misshaped": "of another shape",
    "unequal": "differing from what they should repeat",
}
LONGEST = 20
LEVELS = {"heads": 2, "adapters": 3}
"""Kind of a component to the parts of its name."""


Odd = Mapping[Reason, Sequence[str]]
"""Reason why a tensor does not fit to what to show of each such tensor."""


def slot_hint(odd: Odd) -> str:
    """How a recipe allows what does not fit."""
    kinds = ", ".join(f'"allow": {{"{reason}": [...]}}' for reason, names in odd.items() if names)
    return f"if that is meant, allow names by pattern in the checkpoint slot: {kinds}"


def problem_text(source: str, odd: Odd, *, hint: str = "") -> str:
    """Why a checkpoint does not fit, every name listed.

    Args:
        source: The checkpoint's path.
        odd: What does not fit.
        hint: How the user may allow it; empty if nothing may be so.
    """
    lines = [f"{source} does not fit the model"]
    for reason, names in odd.items():
        if names:
            lines.append(f"  {counted(len(names), 'tensor')} {MEANING[reason]}:")
            lines.extend(f"      {name}" for name in names)
    return "\n".join([*lines, f"  {hint}"] if hint else lines)


def render_report(report: LoadReport) -> str:
    """A load report for people: a count for each outcome, then names by reason.

    Args:
        report: What ``load_tensors`` returned; tensors that were used are only counted, by what
            they are part of.
    """
    parts = Counter(_part(name) for name in report.used.values())
    told = ", ".join(f"{part} {count}" for part, count in parts.items())
    lines = [f"{counted(len(report.used), 'tensor')} used" + (f": {told}" if told else "")]
    reasons: dict[str, list[str]] = defaultdict(list)
    for name, reason in report.skipped.items():
        reasons[reason].append(name)
    for reason, names in reasons.items():
        lines.extend(_listed(f"skipped: {reason}", names))
    misshaped = [f"{name} {a} in the file, {b} here" for name, (a, b) in report.misshaped.items()]
    for title, names in (
        ("rounded from float64 to fp32", list(report.rounded)),
        ("put into the order of the task's label names", list(report.reordered)),
        ("initialised afresh, the file has nothing of them", list(report.initialised)),
        ("missing, allowed", list(report.missing)),
        ("unexpected, allowed", list(report.unexpected)),
        ("of another shape, allowed and initialised afresh", misshaped),
        ("differing copies, allowed", list(report.unequal)),
    ):
        if names:
            lines.extend(_listed(title, names))
    for head, labels in report.unnamed.items():
        order = ", ".join(labels)
        lines.append(f"label names unknown in the file: {head} taken in the task's order {order}")
    return "\n".join(lines)


def _part(name: str) -> str:
    """What a canonical name belongs to: ``encoder``, ``heads.cola``, ``adapters.cola.pals``."""
    kind = name.split(".")[0]
    return ".".join(name.split(".")[: LEVELS.get(kind, 1)])


def _listed(title: str, names: Sequence[str]) -> list[str]:
    shown = [f"  {name}" for name in names[:LONGEST]]
    if len(names) > LONGEST:
        shown.append(f"  ... and {len(names) - LONGEST} more")
    return [f"{counted(len(names), 'tensor')} {title}", *shown]
