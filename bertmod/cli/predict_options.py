"""The arguments that say what ``predict`` answers and where the answers go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bertmod.cli.trained_options import Form

TextOption = Annotated[
    str | None,
    typer.Option(
        "--text",
        metavar="TEXT",
        help="Answer this one text, as JSON on standard output; of SQuAD the question.",
    ),
]
TextPairOption = Annotated[
    str | None,
    typer.Option(
        "--text-pair", metavar="TEXT", help="The second text beside --text; of SQuAD the passage."
    ),
]
TextPairFileOption = Annotated[
    Path | None,
    typer.Option(
        "--text-pair-file", metavar="FILE", help="Read the second text from a UTF-8 file."
    ),
]
ChoiceOption = Annotated[
    list[str] | None,
    typer.Option("--choice", metavar="TEXT", help="One of the choices beside --text; repeatable."),
]
InputOption = Annotated[
    Path | None,
    typer.Option(
        "--input",
        metavar="FILE",
        help="A table (.tsv or .csv with a header line, .jsonl, .parquet) or a file of the task's "
        "own form (SQuAD's .json, CoNLL's columns): rows of one task, or texts for several (--task "
        "all, or --task more than once). Without it and --text the test splits of --data are "
        "answered.",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="PATH",
        help="With --input a file: .tsv (index and prediction, as GLUE takes it; of several tasks "
        "a column each), .jsonl (with all that the task says) or .json (id to answer, as SQuAD "
        "takes it); standard output, as .tsv, otherwise. Without --input, and with --format "
        "google, a folder.",
    ),
]
FormatOption = Annotated[
    Form,
    typer.Option(
        "--format",
        metavar="usual|google",
        help="google: the files that google-research/bert writes, test_results.tsv of classes and "
        "predictions.json of spans.",
    ),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="A[,B]",
        help="Columns of the texts, where the task does not know them by name.",
    ),
]
