"""``bertmod submit``: a trained run's answers to GLUE's test files, as the server takes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertmod.cli.invocation import invocation
from bertmod.cli.recipe_options import DataOption
from bertmod.cli.terminal import show_warnings
from bertmod.cli.trained_options import (
    DeviceOption,
    RunArgument,
    SourceOption,
    TaskOption,
    progress,
)
from bertmod.errors import DataError
from bertmod.wording import counted, table

if TYPE_CHECKING:
    from bertmod.inference.submission import SubmissionPlan


def submit(
    run: RunArgument,
    data: DataOption = None,
    output: Annotated[
        Path,
        typer.Option("--output", metavar="FILE.zip", help="The zip."),
    ] = Path("submission.zip"),
    partial: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="Write the files that can be answered; without it a missing one is an error.",
        ),
    ] = False,
    task: TaskOption = None,
    source: SourceOption = "mean",
    device: DeviceOption = "auto",
) -> None:
    """Answer every test file of GLUE: label names, ids and row counts as the benchmark has them."""
    from bertmod.assemble.data import named_data_folder
    from bertmod.inference.submission import plan_submission, write_submission
    from bertmod.inference.trained import load_run

    show_warnings()
    _check_zip(output)
    trained = load_run(run, source=source, registry=invocation().registry, device=device)
    folder = None if data is None else named_data_folder(data)
    plan = plan_submission(trained, folder, tasks=task or ())
    if not partial:
        plan.require_complete()
    if not plan.parts:
        reasons = "".join(f"\n  {name}: {why}" for name, why in sorted(plan.missing.items()))
        raise DataError(f"no file of GLUE can be answered{reasons}")
    write_submission(trained, plan, output, progress=progress)
    _tell(plan, output)


def _check_zip(path: Path) -> None:
    """Refuse a file that the zip cannot be written to, before any row is answered."""
    from bertmod.data.tables import check_output_file

    if path.suffix.lower() != ".zip":
        raise DataError(f"{path}: a submission is a .zip file")
    check_output_file(path)


def _tell(plan: SubmissionPlan, path: Path) -> None:
    parts = sorted(plan.parts, key=lambda part: part.file.name)
    rows = [(part.file.name, part.task, f"{len(part.examples):,}") for part in parts]
    print("\n".join(table([("file", "task", "rows"), *rows], right=(2,))))
    total = sum(len(part.examples) for part in parts)
    print(f"{path}: {counted(len(parts), 'file')}, {counted(total, 'row')}")
    problems = {**plan.missing, **plan.uneven}
    for name in sorted(problems):
        print(f"{'left out' if name in plan.missing else 'uneven'}: {name}: {problems[name]}")
    if problems:
        print("GLUE's server takes all files with every row: it will refuse this one")
