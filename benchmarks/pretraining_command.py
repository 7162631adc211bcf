"""The commands on pre-training: how fast its data and its steps are, and what it is good for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from benchmarks.options import (
    Busy,
    Checkpoint,
    Environment,
    NewFile,
    Seeds,
    say,
    seed_numbers,
    weights_folder,
)
from benchmarks.peers import PeerError, peer_python

Corpus = Annotated[
    Path, typer.Option(metavar="FILE", help="A sentence a line, blank lines between documents.")
]
Vocab = Annotated[Path, typer.Option(metavar="FILE", help="Vocabulary.")]


def pretraining(
    corpus: Corpus,
    vocab: Vocab,
    output: NewFile = Path("runs/benchmarks/pretraining.json"),
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


def pretraining_steps(
    corpus: Corpus,
    vocab: Vocab,
    environment: Environment = Path(".venv-transformers"),
    output: NewFile = Path("runs/benchmarks/pretraining_steps.json"),
    shape: Annotated[
        Literal["minilm", "base"],
        typer.Option(help="Encoder: 6 layers of 384, or 12 of 768."),
    ] = "minilm",
    steps: Annotated[int, typer.Option(min=1, help="Steps of a round, which is a pass.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process.")] = 1,
    busy: Busy = False,
) -> None:
    """Time steps of pre-training, in both tools."""
    from benchmarks.contenders import RunFailed
    from benchmarks.pretraining_steps import Work, measure
    from bertmod import BertmodError

    work = Work(
        folder=output.resolve().with_suffix(""),
        vocab=vocab.resolve(),
        shape=shape,
        steps=steps,
        rounds=rounds,
        threads=threads,
    )
    try:
        python = peer_python("transformers", environment)
        print(measure(work, corpus.resolve(), output, python=python, busy=busy))
    except (BertmodError, OSError, PeerError, RunFailed) as error:
        raise SystemExit(str(error)) from error


def domain(
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that has SQuAD/, SST-2/ and MRPC/.")
    ],
    checkpoint: Checkpoint = None,
    sample: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A short text to learn by heart.")
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Working folder; page and plot go beside it.")
    ] = Path("runs/benchmarks/domain"),
    steps: Annotated[int, typer.Option(min=1, help="From scratch.")] = 14000,
    more_steps: Annotated[int, typer.Option(min=1, help="Of MiniLM.")] = 800,
    seeds: Seeds = "1,2",
    busy: Busy = False,
) -> None:
    """Pre-train on the paragraphs of SQuAD, and learn two tasks from that."""
    from benchmarks.contenders import RunFailed
    from benchmarks.domain import Study
    from bertmod import BertmodError

    study = Study(
        folder=output.resolve(),
        data=data.resolve(),
        checkpoint=weights_folder(checkpoint),
        sample=sample and sample.resolve(),
        steps=steps,
        more_steps=more_steps,
        seeds=seed_numbers(seeds),
    )
    try:
        print(study.run(busy=busy, say=say))
    except (BertmodError, OSError, RunFailed) as error:
        raise SystemExit(str(error)) from error
