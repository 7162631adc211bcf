"""How tags say where an entity begins: IOB1, IOB2, or tags that are no parts of entities."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Literal

Scheme = Literal["iob1", "iob2", "none"]

OUTSIDE = "O"
_ENTITY = re.compile(r"[BI]-.+")


def is_tag(tag: str) -> bool:
    """Whether a tag is ``O``, or ``B-`` or ``I-`` and a type."""
    return tag == OUTSIDE or _ENTITY.fullmatch(tag) is not None


def iob2(tags: Sequence[str]) -> list[str]:
    """The tags with ``B-`` at the first word of every entity; IOB2 stays as it is."""
    before, found = OUTSIDE, []
    for tag in tags:
        begins = tag.startswith("I-") and before[1:] != tag[1:]
        found.append(f"B{tag[1:]}" if begins else tag)
        before = tag
    return found


def iob1(tags: Sequence[str]) -> list[str]:
    """IOB2 with ``B-`` only where an entity follows another of its type."""
    before, found = OUTSIDE, []
    for tag in tags:
        alone = tag.startswith("B-") and before[1:] != tag[1:]
        found.append(f"I{tag[1:]}" if alone else tag)
        before = tag
    return found


def in_scheme(tags: Sequence[str], scheme: Scheme) -> list[str]:
    """Tags as a file of a scheme has them; tags of entities may be given in either scheme."""
    if scheme == "none":
        return list(tags)
    return iob1(iob2(tags)) if scheme == "iob1" else iob2(tags)


def begins_inside(tags: Sequence[str]) -> int | None:
    """The first word where ``I-`` begins an entity, which IOB2 does not have; None if none is."""
    return next(
        (i for i, (old, new) in enumerate(zip(tags, iob2(tags), strict=True)) if old != new), None
    )


def ordered(tags: Collection[str], scheme: Scheme) -> tuple[str, ...]:
    """Every label of a task whose training data has these tags: ``O`` first, the rest by name.

    A type of entity gets both ``B-`` and ``I-``: the data may lack one of them by chance.
    """
    others = sorted(set(tags) - {OUTSIDE})
    if scheme == "none":
        return (*((OUTSIDE,) if OUTSIDE in tags else ()), *others)
    types = sorted({tag[2:] for tag in others})
    return (OUTSIDE, *(f"{begin}-{type_}" for type_ in types for begin in "BI"))
