"""``python -m benchmarks run``: how fast bertmod is, beside its peers and the machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.options import Busy, Checkpoint, say, weights_folder
from benchmarks.peers import PEERS

SUITES = ("train", "infer", "data", "startup", "growth")
SHAPES = ("minilm", "base", "large")
NUM_TASKS = 8
"""As ``benchmarks/speed/train.py`` has it, which would take a while to import."""

Suite = Annotated[str, typer.Option("--suite", metavar="|".join(SUITES), help="What is measured.")]
Shape = Annotated[
    str, typer.Option(metavar="|".join(SHAPES), help="Encoder that trains or predicts.")
]
Environments = Annotated[
    list[str] | None,
    typer.Option(
        "--environment",
        metavar="PEER=DIR",
        help=f"A peer's environment, .venv-PEER otherwise; repeatable. Peers: {', '.join(PEERS)}.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(metavar="FILE", dir_okay=False, help="JSON file; a page goes beside it."),
]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        metavar="NAME:PATH=JSON",
        help="A further contender of bertmod's that trains, with this set in its recipe; "
        "repeatable, several of one NAME are set together.",
    ),
]


def run(
    suite: Suite,
    shape: Shape = "minilm",
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that has MRPC/, for data others too.")
    ] = Path("data"),
    checkpoint: Checkpoint = None,
    environment: Environments = None,
    output: Output = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 5,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of a round, or of the training before infer."),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows that infer answers.")] = 20_000,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; all cores otherwise.")
    ] = None,
    contenders: Annotated[
        str | None, typer.Option(help="Contenders, by name, separated by commas; all otherwise.")
    ] = None,
    variant: Variants = None,
    busy: Busy = False,
) -> None:
    """Measure speed beside the peers, in turns, and beside the machine's own rate."""
    _require_known(suite, shape, steps)
    folders = peer_folders(environment or [])
    variants = variant_changes(variant or [])

    from benchmarks.contenders import RunFailed
    from benchmarks.speed.contest import Setting
    from benchmarks.speed.measure import Asked, measure
    from benchmarks.workers import Unable
    from bertmod import BertmodError

    output = (output or Path(f"runs/benchmarks/speed-{suite}-{shape}.json")).resolve()
    asked = Asked(
        suite,
        shape,
        data.resolve(),
        "" if suite == "startup" else weights_folder(checkpoint),
        steps=steps,
        rows=rows,
        variants=variants,
        busy=busy,
    )
    setting = Setting(
        folder=output.with_suffix(""),
        rounds=rounds,
        threads=threads or os.cpu_count() or 1,
        environments=folders,
        chosen=None if contenders is None else frozenset(map(str.strip, contenders.split(","))),
        say=say,
    )
    try:
        print(measure(asked, setting, output))
    except (BertmodError, RunFailed, Unable) as error:
        raise SystemExit(str(error)) from error


def _require_known(suite: str, shape: str, steps: int | None) -> None:
    for name, value, known in (("suite", suite, SUITES), ("shape", shape, SHAPES)):
        if value not in known:
            raise typer.BadParameter(f'no {name} "{value}"; there is: {", ".join(known)}')
    if suite == "train" and steps is not None and steps % NUM_TASKS:
        raise typer.BadParameter(f"steps must be a multiple of {NUM_TASKS}, the tasks of the PALs")


def peer_folders(given: list[str]) -> dict[str, Path]:
    """Peer to the folder of its environment.

    Args:
        given: ``PEER=DIR`` texts.
    """
    folders = {peer: Path(f".venv-{peer}") for peer in PEERS}
    for text in given:
        peer, _, folder = text.partition("=")
        if peer not in PEERS or not folder:
            raise typer.BadParameter(f'"{text}": PEER=DIR, where PEER is {", ".join(PEERS)}')
        folders[peer] = Path(folder)
    return folders


def variant_changes(given: list[str]) -> dict[str, list[str]]:
    """Name of a contender to what is set in its recipe.

    Args:
        given: ``NAME:PATH=JSON`` texts.
    """
    variants: dict[str, list[str]] = {}
    for text in given:
        name, _, change = text.partition(":")
        if not name or "=" not in change:
            raise typer.BadParameter(f'"{text}": NAME:PATH=JSON, as in plain:training.fast=false')
        variants.setdefault(name, []).append(change)
    return variants
