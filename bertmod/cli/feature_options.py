"""The options that say what ``features`` takes of each line, and what its files look like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bertmod.errors import DataError

CheckpointArgument = Annotated[
    str,
    typer.Argument(metavar="CHECKPOINT", help="A checkpoint of any format, or a run folder."),
]
InputArgument = Annotated[
    str,
    typer.Argument(
        metavar="INPUT",
        help="UTF-8 text, a line each, `A ||| B` a pair; - reads standard input.",
    ),
]
OutputArgument = Annotated[
    Path,
    typer.Argument(metavar="OUT", help="File of JSON lines, or folder of shards; it is new."),
]
FormatOption = Annotated[
    Literal["jsonl", "safetensors", "npz"],
    typer.Option(
        "--format",
        metavar="jsonl|safetensors|npz",
        help="jsonl: Google's JSON lines, one file; safetensors, npz: a folder of shards.",
    ),
]
LayersOption = Annotated[
    str,
    typer.Option(
        "--layers",
        metavar="N[,N...]",
        help="-1 is the last layer, -2 that before it; 0 the embeddings, 1 the first layer; all: "
        "0 and every layer; none: only --pooled and --mean.",
    ),
]
PooledOption = Annotated[
    bool, typer.Option("--pooled", help="Keep each line's pooled output, too.")
]
MeanOption = Annotated[
    bool,
    typer.Option(
        "--mean",
        help="Keep the mean of the last layer over each line's tokens, too, [CLS] and [SEP] "
        "among them.",
    ),
]
WordsOption = Annotated[
    bool,
    typer.Option(
        "--words",
        help="JSON lines also say which word of the line each token came from; shards always do.",
    ),
]
DtypeOption = Annotated[
    Literal["float32", "float16"] | None,
    typer.Option(
        "--dtype",
        metavar="float32|float16",
        help="Numbers of the shards, float32 otherwise.",
    ),
]
ShardLinesOption = Annotated[
    int | None, typer.Option("--shard-lines", min=1, help="Lines of a shard, 1024 otherwise.")
]
TaskAdaptersOption = Annotated[
    str | None,
    typer.Option("--task", metavar="ID", help="Let the adapters of this task of the run act, too."),
]
MaxLengthOption = Annotated[
    int | None,
    typer.Option(
        "--max-length",
        min=2,
        help="Longest row in tokens, [CLS] and [SEP] counted; 128 otherwise, or what the encoder "
        "takes if that is less.",
    ),
]
BatchSizeOption = Annotated[int, typer.Option("--batch-size", min=1, help="Lines of a batch.")]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with OUT.partial, which was interrupted.")
]
LowerCaseOption = Annotated[
    bool | None,
    typer.Option(
        "--lower-case/--no-lower-case",
        help="Whether text is lower-cased, in place of what the checkpoint says.",
    ),
]
PrecisionOption = Annotated[
    Literal["fp32", "bf16", "auto"],
    typer.Option("--precision", metavar="fp32|bf16|auto", help="Arithmetic of the encoder."),
]
USUAL_LENGTH = 128


def chosen_layers(text: str, depth: int) -> tuple[int, ...]:
    """The layers that ``--layers`` names.

    Args:
        text: Numbers with commas between them, ``all`` or ``none``.
        depth: Layers of the encoder.

    Raises:
        DataError: If it is none of these.
    """
    if text == "all":
        return tuple(range(depth + 1))
    if text == "none":
        return ()
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise DataError(
            f"--layers {text}: numbers with commas between them, such as -1,-2, or all, or none"
        ) from None
