"""The options that say what pre-training data is made like; names and defaults are Google's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

CorpusArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="CORPUS...",
        help="UTF-8 text files or globs, .gz too: a sentence a line, a blank line between "
        "documents; or Google's .tfrecord files, to be memory-mapped.",
    ),
]
VocabOption = Annotated[
    Path, typer.Option("--vocab", metavar="FILE", help="Vocabulary: a model's vocab.txt.")
]
OutputOption = Annotated[
    Path, typer.Option("--output", metavar="DIR", help="Folder to write; it is new.")
]
LengthOption = Annotated[
    int,
    typer.Option("--max-seq-length", help="Longest row in tokens, [CLS] and [SEP] counted."),
]
PredictionsOption = Annotated[
    int, typer.Option("--max-predictions-per-seq", min=1, help="Most masked tokens of a row.")
]
SeedOption = Annotated[int, typer.Option("--random-seed", min=0, help="Which draws.")]
DupeOption = Annotated[
    int,
    typer.Option("--dupe-factor", min=1, help="Passes over the corpus, each drawn afresh."),
]
ProbabilityOption = Annotated[
    float,
    typer.Option("--masked-lm-prob", help="Share of a row's tokens that is masked, 0 to 1."),
]
ShortOption = Annotated[
    float,
    typer.Option(
        "--short-seq-prob", min=0.0, max=1.0, help="Share of documents that make shorter rows."
    ),
]
WholeWordOption = Annotated[
    bool,
    typer.Option("--do-whole-word-mask", help="Mask all pieces of a word, or none."),
]
LowerCaseOption = Annotated[
    bool | None,
    typer.Option(
        "--do-lower-case/--no-do-lower-case",
        help="Whether text is lower-cased; as the vocabulary tells otherwise.",
    ),
]
MaskingOption = Annotated[
    Literal["static", "dynamic"],
    typer.Option(
        "--masking",
        metavar="static|dynamic",
        help="static: rows are masked here; dynamic: afresh whenever they are read.",
    ),
]
RandomOption = Annotated[
    Literal["own", "google"],
    typer.Option(
        "--random",
        metavar="own|google",
        help="own: draws by seed, document and pass; google: the original's, number for number.",
    ),
]
NextSentenceOption = Annotated[
    Literal["nsp", "sop", "none"],
    typer.Option(
        "--next-sentence",
        metavar="nsp|sop|none",
        help="nsp: half the second segments are from elsewhere; sop: half the pairs change "
        "places; none: one segment.",
    ),
]
SegmenterOption = Annotated[
    str,
    typer.Option(
        "--segmenter",
        metavar="MODULE:FUNCTION",
        help="Python function that gives a line's words, where ## does not: jieba:lcut for "
        "Chinese.",
    ),
]
FormatOption = Annotated[
    Literal["bertmod", "tfrecord"],
    typer.Option(
        "--format",
        metavar="bertmod|tfrecord",
        help="bertmod: memory-mapped arrays; tfrecord: Google's records.",
    ),
]
ShardOption = Annotated[
    int, typer.Option("--shard-instances", min=1, help="Instances of a file of the output.")
]
WorkersOption = Annotated[
    int, typer.Option("--workers", min=1, help="Processes; the output is the same with any number.")
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with DIR.partial, which was interrupted.")
]
