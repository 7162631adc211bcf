"""The arguments that commands on a trained run share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Form = Literal["usual", "google"]
"""What files look like: bertmod's, or those of google-research/bert."""

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder.")]
SourceOption = Annotated[
    Literal["mean", "best", "final"],
    typer.Option(
        "--from",
        metavar="mean|best|final",
        help="Which state: the best mean over tasks, each task's own best, or the last step.",
    ),
]
TaskOption = Annotated[
    list[str] | None,
    typer.Option("--task", metavar="ID", help="Task of the run, or all; repeatable."),
]


ExportOption = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="DIR",
        help="Answer with the files that bertmod export made of this run, such as int8's on "
        "onnxruntime.",
    ),
]


def names_several(asked: Sequence[str]) -> bool:
    """Whether ``--task`` names more tasks than one."""
    return "all" in asked or len(set(asked)) > 1


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise typer.BadParameter(f'no device "{value}"; accepted: auto, cpu, cuda, cuda:N')
    return value


DeviceOption = Annotated[
    str,
    typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N.", callback=_device),
]


@contextmanager
def progress(total: int | None, what: str, *, unit: str = "row") -> Iterator[Any]:
    """A bar on standard error while rows are answered; nothing where it is no terminal.

    Args:
        total: Rows in all; None if that is not known.
        what: What the bar is called.
        unit: What is counted.
    """
    from tqdm import tqdm

    with tqdm(
        total=total, desc=what, unit=unit, unit_scale=unit != "row", disable=None, leave=False
    ) as bar:
        yield bar.update
