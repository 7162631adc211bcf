"""Options that several benchmarks have, and what is made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from benchmarks.settings import FineTuning

Environment = Annotated[
    Path, typer.Option(metavar="DIR", help="Environment that has transformers.")
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Weights in the Hugging Face layout; installed MiniLM otherwise."
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        metavar="FILE", dir_okay=False, help="JSON file; runs that it has are not repeated."
    ),
]
NewFile = Annotated[Path, typer.Option(metavar="FILE", dir_okay=False, help="JSON file.")]
Seeds = Annotated[str, typer.Option(help="Seeds, separated by commas.")]
Tools = Annotated[str, typer.Option(help="Tools, separated by commas.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Length of each run, epochs.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Steps in place of epochs, to try it out.")]
Dropout = Annotated[
    float | None, typer.Option(min=0.0, max=0.9, help="Of all tools; 0 leaves less to chance.")
]
Rate = Annotated[float | None, typer.Option(min=0.0, help="Peak of the learning rate.")]
NumDev = Annotated[int | None, typer.Option("--dev", min=1, help="Dev rows, to try it out.")]
Busy = Annotated[bool, typer.Option("--busy", help="Say that other work disturbed the timings.")]


def changed_settings(settings: FineTuning, **given: float | None) -> FineTuning:
    """Hyper-parameters with those that were given on the command line."""
    names = {"epochs": "num_epochs"}
    known = {names.get(name, name): value for name, value in given.items() if value is not None}
    return replace(settings, **known)  # type: ignore[arg-type]


def weights_folder(checkpoint: Path | None) -> str:
    """The checkpoint's folder, that of the installed MiniLM if none was named."""
    from benchmarks.single_task import WEIGHTS, installed_weights

    weights = str(checkpoint.resolve()) if checkpoint else installed_weights()
    if weights is None:
        raise SystemExit(f"no weights: install {WEIGHTS}, or name a --checkpoint")
    return weights


def seed_numbers(seeds: str) -> tuple[int, ...]:
    """Seeds of a text."""
    words = [word.strip() for word in seeds.split(",")]
    if not all(word.isdecimal() for word in words):
        raise typer.BadParameter(f'seeds "{seeds}": integers from 0, with commas between them')
    return tuple(int(word) for word in words)


def say(line: str) -> None:
    """Show a line at once."""
    print(line, flush=True)


def known_names(tools: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    """Names of a text, all of which are known; all known ones where there is no text."""
    chosen = known if tools is None else tuple(tool.strip() for tool in tools.split(","))
    for tool in chosen:
        if tool not in known:
            raise typer.BadParameter(f'no "{tool}"; there is: {", ".join(known)}')
    return chosen
