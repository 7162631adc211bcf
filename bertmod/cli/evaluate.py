"""``bertmod evaluate``: the scores of a trained run, or of a file of predictions."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from bertmod.cli.evaluate_options import (
    ConfidenceOption,
    FormatOption,
    NullOddsOption,
    NullThresholdOption,
    OutputOption,
    PartialOption,
    PlotsOption,
    PredictionsOption,
    QuestionsOption,
    ResamplesOption,
    RunOrNothing,
    SeedOption,
)
from bertmod.cli.evaluate_run import Resampling, score_run
from bertmod.cli.invocation import invocation
from bertmod.cli.recipe_options import StrictDataOption
from bertmod.cli.terminal import show_warnings
from bertmod.cli.trained import load_trained
from bertmod.cli.trained_options import (
    DeviceOption,
    ExportOption,
    Form,
    SourceOption,
    TaskOption,
)
from bertmod.errors import DataError
from bertmod.wording import listed

_OF_PREDICTIONS = ("null_odds", "null_threshold", "partial")
_OF_RUNS = (
    *("source", "confidence", "resamples", "seed", "format_", "device", "strict_data"),
    "export",
)


def evaluate(
    context: typer.Context,
    run: RunOrNothing = None,
    data: QuestionsOption = None,
    task: TaskOption = None,
    source: SourceOption = "mean",
    predictions: PredictionsOption = None,
    null_odds: NullOddsOption = None,
    null_threshold: NullThresholdOption = None,
    partial: PartialOption = False,
    plots: PlotsOption = None,
    confidence: ConfidenceOption = None,
    resamples: ResamplesOption = 1000,
    seed: SeedOption = 42,
    output: OutputOption = None,
    format_: FormatOption = "usual",
    device: DeviceOption = "auto",
    export: ExportOption = None,
    strict_data: StrictDataOption = False,
) -> None:
    """Score every dev split of a run's tasks, or a file of predictions, over the whole of it."""
    show_warnings()
    if predictions is None:
        _refuse(context, _OF_PREDICTIONS, "goes with --predictions FILE, which is not given")
    else:
        _refuse(context, _OF_RUNS, "does not go with --predictions")
    if run is None:
        _refuse(context, ("task",), "chooses a task of RUN, which is not given")
    if confidence is None:
        _refuse(context, ("resamples", "seed"), "goes with --confidence, which is not given")
    _check_output(output, form=format_)
    _check_plots(plots)
    if predictions is not None:
        questions = _questions(run, data, task or ())
        scores = _official(questions, predictions, null_odds, null_threshold, partial, plots)
        _show_official(scores, output)
        return
    if run is None:
        raise DataError("nothing to score\n  name a RUN folder, or --predictions FILE")
    if export is not None and format_ == "google":
        raise DataError("--format google and --export: exported files give no losses")
    trained = load_trained(
        run,
        source=source,
        device=device,
        export=export,
        tasks=task or (),
        strict_data=strict_data,
    )
    resampling = None if confidence is None else Resampling(confidence, resamples, seed)
    score_run(
        trained,
        task or (),
        data=data,
        resampling=resampling,
        plots=plots,
        output=output,
        form=format_,
    )


def _refuse(context: typer.Context, names: tuple[str, ...], why: str) -> None:
    """Refuse options that were stated and would be ignored."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            raise DataError(f"{parameter.opts[0]} {why}")


def _check_output(path: Path | None, *, form: Form) -> None:
    """Refuse a place that scores cannot be written to, before they are measured."""
    from bertmod.data.tables import check_output_file, check_output_folder

    if form == "google":
        if path is None:
            raise DataError("--format google writes files into --output FOLDER, which is not given")
        check_output_folder(path, why="--format google writes into a folder")
    elif path is not None:
        check_output_file(path)


def _check_plots(folder: Path | None) -> None:
    """Refuse to draw what cannot be drawn, before anything is scored."""
    if folder is None:
        return
    from bertmod.data.tables import check_output_folder
    from bertmod.inference.squad_plots import require_matplotlib

    require_matplotlib()
    check_output_folder(folder, why="--plots draws into a folder")


def _questions(run: Path | None, data: str | None, asked: list[str] | tuple[str, ...]) -> Path:
    """The file of questions that predictions are of, or a folder that has it."""
    if data is not None:
        return Path(data)
    if run is None:
        raise DataError(
            "--predictions: of which questions?\n"
            "  name their file with --data FILE, or a RUN that was trained on SQuAD"
        )
    from bertmod.inference.states import choose_tasks
    from bertmod.inference.trained import load_run

    trained = load_run(run, registry=invocation().registry, device="cpu")
    kinds = trained.kinds
    found = [id_ for id_ in choose_tasks(trained.tasks, asked) if kinds[id_] == "bertmod/squad"]
    if not found:
        raise DataError(
            f"--predictions: no task of {run} is squad's\n  name the questions with --data FILE"
        )
    if len(found) > 1:
        raise DataError(f"--predictions: of {listed(found)}?\n  choose one with --task")
    (path,) = trained.files(found[0], "dev")
    return path


def _official(
    questions: Path,
    predictions: Path,
    null_odds: Path | None,
    threshold: float | None,
    partial: bool,
    plots: Path | None,
) -> dict[str, float]:
    from bertmod.inference.squad_scores import score_files

    if null_odds is None:
        for option, value in (("--null-threshold", threshold), ("--plots", plots)):
            if value is not None:
                raise DataError(f"{option} goes with --null-odds FILE, which is not given")
    return score_files(
        questions, predictions, null_odds, threshold=threshold, partial=partial, plots=plots
    )


def _show_official(scores: dict[str, float], output: Path | None) -> None:
    from bertmod.data.tables import replace_text

    text = json.dumps(scores, indent=2)
    if output is not None:
        replace_text(output, f"{text}\n")
    print(text)
