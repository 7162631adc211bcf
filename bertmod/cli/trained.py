"""Loading the run that a command answers with."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from bertmod.cli.invocation import invocation
from bertmod.errors import DataError

if TYPE_CHECKING:
    from bertmod.inference.states import Source
    from bertmod.inference.trained import TrainedRun


def load_trained(
    run: Path,
    *,
    source: Source,
    device: str,
    export: Path | None = None,
    tasks: Collection[str] = (),
    strict_data: bool = False,
) -> TrainedRun:
    """A run that answers, by itself or with the files of an export.

    Of an export it says on standard error what its scores lost when it was made.

    Args:
        run: The run folder.
        source: ``--from``.
        device: ``--device``.
        export: ``--export``.
        tasks: ``--task``: of which tasks that is said; all where there is none.
        strict_data: Whether a malformed dev row is an error.

    Raises:
        CheckpointError: If a file is damaged, or the export is of another state.
        DataError: If a device is named beside an export.
        RunFolderError: If it is no run folder, or has no such state.
    """
    registry = invocation().registry
    if export is None:
        from bertmod.inference.trained import load_run

        return load_run(
            run, source=source, registry=registry, device=device, strict_data=strict_data
        )
    if device not in ("auto", "cpu"):
        raise DataError(f"--device {device} and --export: exported files are run on the CPU")
    from bertmod.inference.exported_run import load_exported_run

    trained = load_exported_run(
        run, export, source=source, registry=registry, strict_data=strict_data
    )
    for line in trained.export.changes(tasks):
        print(f"{export}: {line}", file=sys.stderr)
    return trained
