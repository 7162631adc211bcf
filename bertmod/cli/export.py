"""``bertmod export``: a trained run's tasks for other programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bertmod.cli.invocation import invocation
from bertmod.cli.terminal import show_warnings
from bertmod.cli.trained_options import RunArgument, SourceOption, TaskOption, progress
from bertmod.errors import CheckpointError, DataError, Problem, RecipeError
from bertmod.recipe.load import apply_overrides, raw_recipe
from bertmod.recipe.paths import path_text
from bertmod.recipe.validate import validate
from bertmod.registry import Entry, Registry
from bertmod.specs import ExporterSpec, LoaderSpec
from bertmod.wording import listed, table

if TYPE_CHECKING:
    from bertmod.inference.export_record import Export


OutputArgument = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; it is new.")]
ToOption = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="EXPORTER",
        help="onnx, torch_export, int8 or another that bertmod list exporters shows.",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="OPTION=JSON",
        help="Set an option of the exporter, such as opset=18; repeatable.",
    ),
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Score the exported files on the dev rows of this data folder; int8 is always "
        "scored, on the run's own data unless another is named.",
    ),
]
CheckOption = Annotated[
    bool,
    typer.Option(
        "--check/--no-check",
        help="Run what was written, and keep it only if it gives what the model gives.",
    ),
]


def export(
    run: RunArgument,
    output: OutputArgument,
    to: ToOption,
    task: TaskOption = None,
    source: SourceOption = "mean",
    set_: SetOption = None,
    data: DataOption = None,
    check: CheckOption = True,
) -> None:
    """Write a run's tasks as files that run without bertmod, with tokenizer, labels and README."""
    from bertmod.inference import ExportPlan, export_run

    if data is not None and not check:
        raise DataError("--data and --no-check: rows are scored by running what was written")
    started = invocation()
    entry = _exporter(to, started.registry)
    config = _config(entry, set_ or ())
    show_warnings()
    plan = ExportPlan(
        exporter=entry,
        config=config,
        tasks=tuple(task or ()),
        source=source,
        check=check,
        data=data,
    )
    done = export_run(
        run, output, plan, registry=started.registry, quiet=not started.debug, progress=progress
    )
    _show(done, output)


def _exporter(name: str, registry: Registry) -> Entry[ExporterSpec]:
    """The exporter of a name.

    Raises:
        CheckpointError: If it is a checkpoint format, which another command writes.
        PluginError: If there is none.
    """
    known = registry.names("exporter")
    formats = [
        loader.spec.name
        for loader in registry.entries("loader")
        if cast(LoaderSpec, loader.spec).writer is not None
    ]
    if name not in known and name in formats:
        raise CheckpointError(
            f"--to {name}: a checkpoint, which another command writes\n"
            f"  bertmod convert RUN OUT --to {name}\n"
            f"  exporters: {listed(known)}"
        )
    return cast("Entry[ExporterSpec]", registry.get("exporter", name))


def _config(entry: Entry[ExporterSpec], overrides: Sequence[str]) -> Any:
    """The exporter's options, validated.

    Raises:
        CheckpointError: If a library is missing.
        RecipeError: If an option is unknown or wrong.
    """
    title = f"--to {entry.spec.name}"
    values: Mapping[str, Any] = apply_overrides(raw_recipe({}, title=title), overrides).values
    found = validate(entry.spec.config, values, owner=entry.described)
    problems = [
        Problem(path_text(each.path), each.what, each.more, "--set") for each in found.findings
    ]
    problems += () if problems else entry.spec.check(found.value)
    general = [line for each in problems if not each.path for line in (each.what, *each.more)]
    if general:
        raise CheckpointError("\n  ".join([f"{title}: {general[0]}", *general[1:]]))
    if problems:
        raise RecipeError(title, problems)
    return found.value


def _show(export: Export, output: Path) -> None:
    """Say what was written, and what was found when it was run."""
    chosen, name = export.chosen, export.name
    print(f"{output}: {listed(chosen.tasks)}, rows of up to {chosen.max_length} tokens")
    for note in export.exported.notes:
        print(f"  {note}")
    if export.difference is not None:
        print(f"  logits differ from the model's by up to {export.difference:.1e}")
    if export.scores:
        rows = [["task", "split", "metric", "fp32", name, "change"]]
        rows += [each.cells() for each in export.scores]
        print("\n".join(table(rows, right=range(3, 6))))
    elif chosen.plan.scored:
        print("note: not scored, for no task has dev rows", file=sys.stderr)
