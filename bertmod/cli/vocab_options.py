"""The options of ``bertmod vocab``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CorpusArgument = Annotated[
    list[str],
    typer.Argument(metavar="CORPUS...", help="UTF-8 text files or globs, .gz too."),
]
SizeOption = Annotated[
    int | None,
    typer.Option("--size", metavar="N", min=6, help="Pieces of the vocabulary, marks counted."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="PATH",
        help="What to write; it is new: a file NAME.txt, or a folder that AutoTokenizer loads.",
    ),
]
LowerCaseOption = Annotated[
    bool | None,
    typer.Option(
        "--do-lower-case/--no-do-lower-case",
        help="Whether text is lower-cased and stripped of accents; it is for a new vocabulary, and "
        "as its letters tell for one that exists.",
    ),
]
UnusedOption = Annotated[
    int | None,
    typer.Option(
        "--unused", metavar="N", min=0, help="Places [unusedN] that are kept free; 99 otherwise."
    ),
]
FrequencyOption = Annotated[
    int,
    typer.Option(
        "--min-frequency",
        metavar="N",
        min=1,
        help="How often two pieces must stand side by side to become one, or a word occur.",
    ),
]
AlphabetOption = Annotated[
    int | None,
    typer.Option(
        "--alphabet",
        metavar="N",
        min=1,
        help="Most characters that pieces are made of, the commonest; 1000 otherwise.",
    ),
]
CheckOption = Annotated[
    Path | None,
    typer.Option(
        "--check", metavar="VOCAB", help="Write nothing: show how this vocabulary cuts the corpus."
    ),
]
ExtendOption = Annotated[
    Path | None,
    typer.Option(
        "--extend",
        metavar="VOCAB",
        help="Put the corpus's words that this vocabulary cuts into its [unusedN] places; with "
        "--checkpoint, the vocabulary of a model that has none beside it.",
    ),
]
WordsOption = Annotated[
    int | None,
    typer.Option(
        "--words",
        metavar="N",
        min=1,
        help="How many words to put in; those without a place are appended.",
    ),
]
CheckpointOption = Annotated[
    str | None,
    typer.Option(
        "--checkpoint",
        metavar="CKPT",
        help="Put words into this model's vocabulary; the model is written with embeddings of "
        "them, each the mean of its pieces'.",
    ),
]
ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help="With --checkpoint, what is written: huggingface otherwise, bertmod, tensorflow, or a "
        "plugin's format.",
    ),
]
