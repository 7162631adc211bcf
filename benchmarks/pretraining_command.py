"""The command that times how pre-training data is made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.options import Busy


def pretraining(
    corpus: Annotated[
        Path, typer.Option(metavar="FILE", help="A sentence a line, blank lines between documents.")
    ],
    vocab: Annotated[Path, typer.Option(metavar="FILE", help="Vocabulary.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="JSON file.")] = Path(
        "runs/benchmarks/pretraining.json"
    ),
    sizes: Annotated[str, typer.Option(help="Sizes of the corpus, MB.")] = "5,20,50",
    plain_sizes: Annotated[str, typer.Option(help="Those for plain Python, too.")] = "5,20",
    workers: Annotated[str, typer.Option(help="Numbers of processes.")] = "1,2",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    busy: Busy = False,
) -> None:
    """Time how fast text becomes pre-training data, beside plain Python."""
    from benchmarks.contenders import RunFailed
    from benchmarks.pretraining import measure

    try:
        page = measure(
            corpus.resolve(),
            vocab.resolve(),
            output,
            sizes=[float(size) for size in sizes.split(",")],
            plain_sizes=[float(size) for size in plain_sizes.split(",")],
            workers=[int(number) for number in workers.split(",")],
            repeats=repeats,
            busy=busy,
        )
    except (OSError, RunFailed) as error:
        raise SystemExit(str(error)) from error
    print(page)
