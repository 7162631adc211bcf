"""``bertmod merge``: one adapter file from several of one kind."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from bertmod.cli.invocation import invocation
from bertmod.cli.terminal import show_warnings
from bertmod.errors import DataError

HeadOption = Annotated[
    str | None,
    typer.Option(
        "--head",
        metavar="TASK",
        help="Take the head of this adapter file (its task or folder) as it is; heads with equal "
        "labels are merged otherwise.",
    ),
]
BaseOption = Annotated[
    Path | None,
    typer.Option(
        "--base",
        metavar="PATH",
        help="Run or folder of the encoder, for arithmetic with weights that do not sum to 1; "
        "found beside the adapter files otherwise.",
    ),
]


def merge(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; it is new.")],
    adapters: Annotated[
        list[Path],
        typer.Argument(
            metavar="ADAPTER...",
            help="Adapter files, two at least: folders such as RUN/best/tasks/cola.",
        ),
    ],
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            metavar="W[,W...]",
            help="A number per adapter file. Of an average, which divides by their sum, equal "
            "ones otherwise; of arithmetic 1 each.",
        ),
    ] = None,
    method: Annotated[
        Literal["average", "arithmetic"],
        typer.Option(
            "--method",
            metavar="average|arithmetic",
            help="average: the weighted mean; arithmetic: where training started, plus the "
            "weighted sum of what training changed.",
        ),
    ] = "average",
    head: HeadOption = None,
    base: BaseOption = None,
) -> None:
    """Merge adapter files of one kind, trained with one encoder, into a new one."""
    from bertmod.inference.merge import merge_adapters

    show_warnings()
    record = merge_adapters(
        adapters,
        output=output,
        weights=None if weights is None else _numbers(weights),
        method=method,
        head=head,
        base=base,
        registry=invocation().registry,
    )
    parts = ", ".join(f"{each['coefficient']:g} {each['id']}" for each in record.merged_from)
    print(f"{output}: task {record.id}, merged from {parts}", file=sys.stderr)


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise DataError(
            f"--weights {text}: numbers with commas between them, such as 0.5,0.5"
        ) from None
