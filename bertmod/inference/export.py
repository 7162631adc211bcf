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

from bertmod.contracts.exporter import Exported
from bertmod.data.new_folder import new_folder, require_new
from bertmod.engine.evaluate import EvaluationSettings
from bertmod.errors import BertmodError, CheckpointError
from bertmod.inference.export_card import export_card
from bertmod.inference.export_plan import ChosenTasks, ExportPlan, choose
from bertmod.inference.export_record import Export, Scores, write_record
from bertmod.inference.exported import ExportedModel, largest_difference
from bertmod.inference.progress import Progress, no_progress
from bertmod.inference.scored_split import labelled_splits, score_split
from bertmod.model.card import render_card
from bertmod.model.multitask import MultiTaskModel
from bertmod.model.padded import PaddedModel
from bertmod.model.record import read_encoder_record
from bertmod.registry import Registry, load_registry
from bertmod.wording import listed

TOLERANCE = 1e-4
"""Largest absolute difference of a logit from the model's, of an exporter that is exact."""


def export_run(
    run: Path | str,
    target: Path | str,
    plan: ExportPlan,
    *,
    registry: Registry | None = None,
    quiet: bool = True,
    progress: Progress = no_progress,
) -> Export:
    """Write a run's tasks in a format of other programs into a new folder.

    The folder appears once everything in it was checked; until then there is nothing.

    Args:
        run: The run folder.
        target: The folder to make; new or empty.
        plan: What is exported, and how.
        registry: What is installed; None looks.
        quiet: Whether to keep back what libraries say while they work.
        progress: Shows how far the scoring is.

    Raises:
        CheckpointError: If a task cannot be exported, or what was written does not give what the
            model gives.
        DataError: If the target is there already or cannot be written, the run has no such task,
            or the rows to be scored cannot be read.
        RunFolderError: If it is no run folder, or has no such state.
    """
    require_new(Path(target))
    chosen = choose(Path(run), plan, registry or load_registry())
    with new_folder(Path(target)) as folder:
        with _silence() if quiet else contextlib.nullcontext():
            padded, exported = _export(chosen, folder)
        export = _checked(chosen, padded, exported, progress)
        write_record(folder, export, readme=render_card(export_card(export)))
    return export


def _export(chosen: ChosenTasks, folder: Path) -> tuple[PaddedModel, Exported]:
    """The tasks as they answer padded rows, and their files in a folder.

    Raises:
        CheckpointError: If they cannot be exported; says which task and why.
    """
    plan, model = chosen.plan, chosen.trained.model(chosen.tasks[0])

    def attempt(tasks: Sequence[str], place: Path) -> tuple[PaddedModel, Exported]:
        padded = PaddedModel(model, tasks)
        return padded, plan.exporter.spec.export(plan.config, padded.context(), place)

    try:
        return attempt(chosen.tasks, folder)
    except (BertmodError, OSError):
        raise
    except ImportError as error:
        raise CheckpointError(f"{chosen.exporter.name} cannot be used: {_cause(error)}") from error
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


def _checked(
    chosen: ChosenTasks, padded: PaddedModel, exported: Exported, progress: Progress
) -> Export:
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
    if math.isnan(difference):
        raise CheckpointError(f"logits of the model, or of what {spec.name} wrote, are no numbers")
    if spec.exact and difference > TOLERANCE:
        raise CheckpointError(
            f"what {spec.name} wrote is not the model: logits differ by up to {difference:.2g}, "
            f"and {TOLERANCE:g} is accepted\n  nothing is kept"
        )
    scores = tuple(_scores(chosen, padded.model, files, progress))
    return Export(chosen, padded, exported, difference, scores)


def _scores(
    chosen: ChosenTasks, model: MultiTaskModel, files: ExportedModel, progress: Progress
) -> Iterator[Scores]:
    """Every metric of the dev splits, by the model and by the files."""
    for task, entry in chosen.scored.items():
        for split in labelled_splits(entry):
            before, after = (
                score_split(
                    each, entry, split, settings=EvaluationSettings(), progress=progress
                ).scores
                for each in (model, files)
            )
            for metric, score in before.items():
                yield Scores(task, split.split, metric, score, after[metric])


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
