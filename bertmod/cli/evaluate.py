"""``bertmod evaluate``: the scores of a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bertmod.cli.invocation import invocation
from bertmod.cli.recipe_options import DataOption, StrictDataOption
from bertmod.cli.trained_options import DeviceOption, RunArgument, SourceOption, TaskOption
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
    from bertmod.assemble.run import write_json
    from bertmod.inference.states import choose_tasks
    from bertmod.inference.trained import load_run

    trained = load_run(
        run, source=source, registry=invocation().registry, device=device, strict_data=strict_data
    )
    folder = None if data is None else named_data_folder(data)
    scores: dict[str, float] = {}
    for name in choose_tasks(trained.tasks, task or ()):
        for metric, score in trained.evaluate(name, folder).items():
            scores[f"{name}/{metric}"] = score
    if output is not None:
        write_json(output, scores)
    rows = [(*name.split("/"), f"{score:.4f}") for name, score in scores.items()]
    print("\n".join(table([("task", "split", "metric", "score"), *rows], right=(3,))))
