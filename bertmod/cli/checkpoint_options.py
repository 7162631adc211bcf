"""The arguments that commands on a checkpoint of any format share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

HiddenActOption = Annotated[
    Literal["gelu_tanh"] | None,
    typer.Option(
        "--hidden-act",
        metavar="gelu_tanh",
        help="Read a file's gelu as its tanh form, which Google's programs compute since 2019.",
    ),
]
