"""A comparison of two checkpoints as a table, and as JSON values."""

from __future__ import annotations

import math
from typing import Any

from bertmod.convert.verification import Verification
from bertmod.wording import counted, table


def render_verification(found: Verification) -> str:
    """The table of parts, what else differs, and a line that says whether they are equal.

    Args:
        found: What came out.
    """
    rows = [["part", "max |B - A|", "mean B - A", "std B - A"]]
    for each in found.parts:
        numbers = (each.maximum, each.mean, each.deviation)
        rows.append([each.part, *(f"{number:.2e}" for number in numbers)])
    lines = table(rows, right={1, 2, 3}) if found.parts else []
    lines += [f"note: {note}" for note in found.notes]
    lines += [f"different {what}" for what in found.unlike]
    return "\n".join([*lines, _conclusion(found)])


def verification_json(found: Verification) -> dict[str, Any]:
    """What came out as JSON values; numbers that are not finite are null.

    Args:
        found: What came out.
    """
    return {
        "a": found.a,
        "b": found.b,
        "equal": found.equal,
        "tolerance": found.tolerance,
        "texts": found.num_texts,
        "tokens": found.num_tokens,
        "parts": [
            {
                "part": each.part,
                "maximum": _finite(each.maximum),
                "mean": _finite(each.mean),
                "standard_deviation": _finite(each.deviation),
            }
            for each in found.parts
        ],
        "different": list(found.unlike),
        "notes": list(found.notes),
    }


def _conclusion(found: Verification) -> str:
    if not found.parts:
        return "not equal: hidden states of these sizes cannot be compared"
    on = f"on {counted(found.num_texts, 'text')} of {counted(found.num_tokens, 'token')}"
    near = found.maximum <= found.tolerance
    where = f"{'within' if near else 'beyond'} the tolerance {found.tolerance:g}"
    numbers = f"max |B - A| {found.maximum:.2e} is {where}, {on}"
    if near and found.unlike:
        return f"not equal: what is different stands above; {numbers}"
    return f"{'equal' if found.equal else 'not equal'}: {numbers}"


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
