"""Writing a trained run's tasks for other programs, and proving what was written."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bertmod.assemble.data import named_data_folder
from bertmod.contracts.exporter import Exported
from bertmod.data.durable import write_folder
from bertmod.engine.evaluate import EvaluationSettings
from bertmod.errors import BertmodError, CheckpointError
from bertmod.inference.export_card import export_card
from bertmod.inference.export_plan import ChosenTasks, ExportPlan, choose
from bertmod.inference.export_record import Export, Scores, write_record
from bertmod.inference.exported import ExportedModel, largest_difference
from bertmod.inference.scored_split import scored_splits
from bertmod.model.card import render_card
from bertmod.model.padded import PaddedModel
from bertmod.model.record import read_encoder_record
from bertmod.registry import Registry
from bertmod.wording import listed

TOLERANCE = 1e-4
"""Largest absolute difference of a logit from the model's, of an exporter that is exact."""


def export_run(
    run: Path, target: Path, plan: ExportPlan, *, registry: Registry, quiet: bool = True
) -> Export:
    """Write a run's tasks in a format of other programs into a new folder.

    The folder appears once everything in it was checked; until then there is nothing.

    Args:
        run: The run folder.
        target: The folder to make; its parent exists.
        plan: What is exported, and how.
        registry: What is installed.
        quiet: Whether to keep back what libraries say while they work.

    Raises:
        CheckpointError: If the target is there already, a task cannot be exported, or what was
            written does not give what the model gives.
        DataError: If the run has no such task, or the rows to be scored cannot be read.
        RunFolderError: If it is no run folder, or has no such state.
    """
    _require_new(target)
    chosen = choose(run, plan, registry)
    try:
        with write_folder(target) as folder:
            with _silence() if quiet else contextlib.nullcontext():
                padded, exported = _export(chosen, folder)
            export = _checked(chosen, padded, exported)
            write_record(folder, export, readme=render_card(export_card(export)))
    except OSError as error:
        raise CheckpointError(f"{target}: cannot be written: {error.strerror or error}") from error
    return export


def _require_new(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise CheckpointError(
            f"{target} exists already, and is left as it is\n  give another folder"
        )
    if not target.absolute().parent.is_dir():
        raise CheckpointError(f"{target}: there is no folder {target.parent}\n  make it first")


def _export(chosen: ChosenTasks, folder: Path) -> tuple[PaddedModel, Exported]:
    """The tasks as they answer padded rows, and their files in a folder.

    Raises:
        CheckpointError: If they cannot be exported; says which task and why.
    """
    plan, model = chosen.plan, chosen.trained.model(chosen.tasks[0])

    def attempt(tasks: Sequence[str], place: Path) -> tuple[PaddedModel, Exported]:
        padded = PaddedModel(model, tasks)
        return padded, plan.exporter.spec.export(
            plan.config, padded.context(chosen.max_length), place
        )

    try:
        return attempt(chosen.tasks, folder)
    except (BertmodError, OSError):
        raise
    except Exception as error:  # whatever a tracer makes of somebody's code
        tasks, cause = _culprit(chosen.tasks, attempt, error)
        raise CheckpointError(_refusal(chosen, tasks, cause)) from cause


def _culprit(
    tasks: Sequence[str], attempt: Callable[[Sequence[str], Path], object], error: Exception
) -> tuple[Sequence[str], Exception]:
    """The first task that cannot be exported alone; all of them if each can."""
    for task in tasks if len(tasks) > 1 else ():
        with tempfile.TemporaryDirectory(prefix="bertmod-export-") as name:
            try:
                attempt((task,), Path(name))
            except Exception as own:
                return (task,), own
    return tasks, error


def _refusal(chosen: ChosenTasks, tasks: Sequence[str], error: Exception) -> str:
    records = [chosen.records[task] for task in tasks]
    parts = [f"adapter {slot['name']}" for record in records for slot in record.adapters]
    parts += [f"head {record.head['name']}" for record in records]
    others = "\n  export the other tasks: name them with --task" if chosen.tasks != tasks else ""
    named = f"{'task' if len(tasks) == 1 else 'tasks'} {listed(tasks)}"
    return (
        f"{named} ({listed(dict.fromkeys(parts))}) cannot be exported to {chosen.exporter.name}\n"
        f"  {_cause(error)}\n"
        "  what is exported is made of torch's operations on tensors, without a branch on their "
        f"values or sizes{others}"
    )


def _cause(error: BaseException) -> str:
    """What was first to go wrong, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _checked(chosen: ChosenTasks, padded: PaddedModel, exported: Exported) -> Export:
    """What comes of running the files.

    Raises:
        CheckpointError: If they do not run, or do not give what the model gives.
    """
    if not chosen.plan.check:
        return Export(chosen, padded, exported)
    spec, files = chosen.exporter, ExportedModel(padded.model, exported, padded.outputs)
    encoder = read_encoder_record(chosen.state.encoder)["encoder"]
    try:
        difference = largest_difference(
            padded.model,
            files,
            vocab_size=chosen.tokenizer.vocab_size,
            num_types=int(encoder.get("type_vocab_size", 2)),
            max_length=chosen.max_length,
        )
    except Exception as error:  # a runtime that refuses a file, or a size
        raise CheckpointError(f"what {spec.name} wrote does not run: {_cause(error)}") from error
    if not difference <= (TOLERANCE if spec.exact else math.inf):
        raise CheckpointError(
            f"what {spec.name} wrote is not the model: logits differ by up to {difference:.2g}, "
            f"and {TOLERANCE:g} is accepted\n  nothing is kept"
        )
    scores = tuple(_scores(chosen, padded, files)) if chosen.plan.scored else ()
    return Export(chosen, padded, exported, difference, scores)


def _scores(chosen: ChosenTasks, padded: PaddedModel, files: ExportedModel) -> Iterator[Scores]:
    """Every metric of the dev splits, by the model and by the files."""
    data, settings = chosen.plan.data, EvaluationSettings()
    folder = None if data is None else named_data_folder(data)
    for task in chosen.tasks:
        entry = chosen.trained.bound(task, folder)
        both = (scored_splits(each, entry, settings=settings) for each in (padded.model, files))
        for before, after in zip(*both, strict=True):
            for metric, score in before.scores.items():
                yield Scores(task, before.name, metric, score, after.scores[metric])


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep back what libraries warn of and print, which tells their authors more than a user."""
    nowhere = io.StringIO()
    disabled, handlers = logging.root.manager.disable, list(logging.root.handlers)
    logging.disable(logging.WARNING)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            yield
    finally:
        logging.disable(disabled)
        logging.root.handlers[:] = handlers  # one that warns there adds one that prints all
