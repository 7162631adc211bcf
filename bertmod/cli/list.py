"""``bertmod list``: the components that are installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from bertmod.cli.invocation import invocation
from bertmod.registry import KINDS, Entry
from bertmod.wording import table


def list_components(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="Kind: adapter, adapters; all if none.")
    ] = None,
) -> None:
    """Print name, provider, version and summary of components."""
    registry = invocation().registry
    kinds = KINDS if kind is None else (registry.kind(kind),)
    for number, one in enumerate(kinds):
        if kind is None:
            print(("\n" if number else "") + f"{one}s")
        for line in _lines(registry.entries(one)):
            print(line if kind else f"  {line}")


def _lines(entries: Sequence[Entry[Any]]) -> list[str]:
    rows = [
        (entry.spec.name, f"{entry.provider} {entry.version}", entry.spec.summary)
        for entry in entries
    ]
    return table(rows) or ["none"]
