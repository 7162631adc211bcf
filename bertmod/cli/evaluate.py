"""``bertmod evaluate``: the scores of a trained run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from bertmod.cli.invocation import invocation
from bertmod.cli.recipe_options import DataOption, StrictDataOption
from bertmod.cli.terminal import show_warnings
from bertmod.cli.trained_options import DeviceOption, RunArgument, SourceOption, TaskOption
from bertmod.errors import DataError
from bertmod.wording import table


def evaluate(
    run: RunArgument,
    data: DataOption = None,
    task: TaskOption = None,
    source: SourceOption = "mean",
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write the scores as JSON, too."),
    ] = None,
    device: DeviceOption = "auto",
    strict_data: StrictDataOption = False,
) -> None:
    """Score every dev split of a run's tasks, each over the whole of it."""
    from bertmod.assemble.data import named_data_folder
    from bertmod.inference.states import choose_tasks
    from bertmod.inference.trained import load_run

    show_warnings()
    if output is not None:
        _check_output(output)
    trained = load_run(
        run, source=source, registry=invocation().registry, device=device, strict_data=strict_data
    )
    folder = None if data is None else named_data_folder(data)
    scores: dict[str, float] = {}
    for name in choose_tasks(trained.tasks, task or ()):
        found = trained.evaluate(name, folder)
        if not found and name in (task or ()):
            raise DataError(f"task {name}: it has no dev split to be scored on")
        scores.update({f"{name}/{metric}": score for metric, score in found.items()})
    if output is not None:
        _write(output, scores)
    rows = [(*name.split("/"), f"{score:.4f}") for name, score in scores.items()]
    print("\n".join(table([("task", "split", "metric", "score"), *rows], right=(3,))))


def _check_output(path: Path) -> None:
    """Refuse a file that scores cannot be written to, before they are measured."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a file")
    if not path.absolute().parent.is_dir():
        raise DataError(f"{path}: there is no folder {path.parent}")


def _write(path: Path, scores: dict[str, float]) -> None:
    from bertmod.data.tables import replace_text

    replace_text(path, json.dumps(scores, indent=2) + "\n")
