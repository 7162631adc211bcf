"""The arguments of ``bertmod evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bertmod.cli.trained_options import Form


def _share(value: float | None) -> float | None:
    if value is not None and not 0 < value < 1:
        raise typer.BadParameter(f"{value:g} is not between 0 and 1; usual: 0.95")
    return value


RunOrNothing = Annotated[
    Path | None,
    typer.Argument(metavar="RUN", help="Run folder; not needed with --predictions."),
]
QuestionsOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help='Data folder in place of the recipe\'s; or "sample". With --predictions also a '
        "file of SQuAD's form.",
    ),
]
PredictionsOption = Annotated[
    Path | None,
    typer.Option(
        "--predictions",
        metavar="FILE",
        help="Score these SQuAD predictions (JSON, question id to answer) as the official "
        "programs do, 1.1 or 2.0 as the data is.",
    ),
]
NullOddsOption = Annotated[
    Path | None,
    typer.Option(
        "--null-odds",
        metavar="FILE",
        help="With --predictions for SQuAD 2.0: JSON, question id to how likely it is that "
        "there is no answer.",
    ),
]
NullThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--null-threshold",
        metavar="X",
        help="With --null-odds: questions whose odds are above X count as not answered, in "
        "the odds' unit; 1.0 unless stated.",
    ),
]
PartialOption = Annotated[
    bool,
    typer.Option(
        "--partial", help="With --predictions: questions without a prediction count as wrong."
    ),
]
PlotsOption = Annotated[
    Path | None,
    typer.Option(
        "--plots",
        metavar="FOLDER",
        help="Draw precision against recall, and null odds, of SQuAD 2.0 as PNG.",
    ),
]
ConfidenceOption = Annotated[
    float | None,
    typer.Option(
        "--confidence",
        metavar="SHARE",
        help="Give each score the interval that so many resamples of the split fall into: "
        "0.95, for example.",
        callback=_share,
    ),
]
ResamplesOption = Annotated[
    int,
    typer.Option("--resamples", metavar="N", min=2, help="Resamples for --confidence."),
]
SeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Seed of the resamples.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="PATH",
        help="Write the scores as JSON, too; with --format google a folder.",
    ),
]
FormatOption = Annotated[
    Form,
    typer.Option(
        "--format",
        metavar="usual|google",
        help="google: into --output a folder per task with the eval_results.txt that "
        "google-research/bert writes.",
    ),
]
