"""``bertmod compare``: the table of several runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from bertmod.cli.invocation import invocation
from bertmod.cli.trained_options import SourceOption
from bertmod.errors import DataError


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Run folders, or folders of several seeds' runs; at least one."
        ),
    ],
    source: SourceOption = "mean",
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            metavar="FILE",
            help="Write the table too: .md or .csv; repeatable.",
        ),
    ] = None,
) -> None:
    """Print methods as rows and tasks as columns; runs that differ in their seed are one row."""
    from bertmod.data.tables import replace_text
    from bertmod.inference import comparison, comparison_table

    _check_outputs(output or (), tuple(comparison_table.FORMS))
    found = comparison.compare(runs, source, falling=_falling_metrics())
    text = comparison_table.render_text(found)
    if not _can_be_shown(text):
        text = comparison_table.render_text(found, sign="+/-")
    print(text)
    for path in output or ():
        replace_text(path, comparison_table.FORMS[path.suffix.lower()](found))


def _check_outputs(paths: list[Path] | tuple[Path, ...], forms: tuple[str, ...]) -> None:
    """Refuse files that the table cannot be written to, before a run is read."""
    from bertmod.data.tables import check_output_file

    for number, path in enumerate(paths):
        if path.suffix.lower() not in forms:
            raise DataError(f"{path}: a comparison is written to {' or '.join(forms)}")
        check_output_file(path)
        if path.absolute() in [other.absolute() for other in paths[:number]]:
            raise DataError(f"{path}: named twice with --output")


def _falling_metrics() -> list[str]:
    """Names of the installed metrics of which a smaller score is better."""
    found = []
    for entry in invocation().registry.entries("metric"):
        spec = cast(Any, entry.spec)
        if not spec.build(spec.config()).greater_is_better:
            found.append(spec.name)
    return found


def _can_be_shown(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
