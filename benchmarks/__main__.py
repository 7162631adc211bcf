"""The command line of the benchmarks: ``python -m benchmarks --help``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.beside import beside_transformers, train_alike
from benchmarks.options import (
    Busy,
    Checkpoint,
    Dropout,
    Environment,
    Epochs,
    NewFile,
    NumDev,
    Output,
    Rate,
    Seeds,
    Steps,
    Tools,
    changed_settings,
    known_names,
    say,
    seed_numbers,
    weights_folder,
)
from benchmarks.overlap import overlap
from benchmarks.peers import PEERS, PeerError, make_environment, peer_python
from benchmarks.pretraining_command import domain, pretraining, pretraining_steps
from benchmarks.speed_command import run

app = typer.Typer(
    help="Measure bertmod beside other tools.", add_completion=False, no_args_is_help=True
)
app.command()(overlap)
app.command()(domain)
app.command()(pretraining)
app.command()(pretraining_steps)
app.command()(run)


@app.command()
def environment(
    peer: Annotated[str, typer.Argument(help=f"One of: {', '.join(PEERS)}.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where it goes.")],
    torch_index: Annotated[
        str | None, typer.Option(metavar="URL", help="Package index to take PyTorch from.")
    ] = None,
) -> None:
    """Make the environment of a tool to compare with."""
    if peer not in PEERS:
        raise typer.BadParameter(f'no peer "{peer}"; there is: {", ".join(PEERS)}')
    try:
        make_environment(peer, folder, torch_index=torch_index)
    except PeerError as error:
        raise SystemExit(str(error)) from error


@app.command()
def mrpc(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder that has MRPC/.")],
    environment: Environment = Path(".venv-transformers"),
    checkpoint: Checkpoint = None,
    seeds: Seeds = "1,2,3",
    output: Output = Path("runs/benchmarks/mrpc.json"),
    tools: Tools = "bertmod auto,transformers fp32,bertmod fp32,bertmod alike",
    epochs: Epochs = None,
    steps: Steps = None,
    dropout: Dropout = None,
    busy: Busy = False,
) -> None:
    """Fine-tune on MRPC alone, with bertmod and with transformers, and compare."""
    from benchmarks.mrpc import MRPC
    from benchmarks.settings import FineTuning

    settings = changed_settings(FineTuning(), epochs=epochs, steps=steps, dropout=dropout)
    train_alike(
        MRPC,
        settings,
        data=data,
        environment=environment,
        checkpoint=checkpoint,
        seeds=seeds,
        output=output,
        tools=tools,
        busy=busy,
    )


@app.command()
def questions(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder that has SQuAD/.")],
    environment: Environment = Path(".venv-transformers"),
    checkpoint: Checkpoint = None,
    seeds: Seeds = "1",
    output: Output = Path("runs/benchmarks/questions.json"),
    tools: Tools = "bertmod auto,transformers fp32",
    epochs: Epochs = None,
    steps: Steps = None,
    learning_rate: Rate = None,
    train: Annotated[
        int | None, typer.Option("--questions", min=1, help="Training questions, to try it out.")
    ] = None,
    dev: NumDev = None,
    pad_to_longest: Annotated[
        bool,
        typer.Option(
            "--pad-to-longest",
            help="transformers pads to a batch's longest row, not to 384 tokens.",
        ),
    ] = False,
    busy: Busy = False,
) -> None:
    """Fine-tune on SQuAD 1.1, with bertmod and with transformers, and compare."""
    from benchmarks.questions import SETTINGS, discipline

    settings = changed_settings(SETTINGS, epochs=epochs, steps=steps, learning_rate=learning_rate)
    train_alike(
        discipline(pad_to_longest=pad_to_longest),
        settings,
        data=data,
        environment=environment,
        checkpoint=checkpoint,
        seeds=seeds,
        output=output,
        tools=tools,
        busy=busy,
        num_rows={"train": train, "dev": dev},
    )


@app.command()
def tags(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder that has CoNLL2003/.")],
    environment: Environment = Path(".venv-transformers"),
    checkpoint: Checkpoint = None,
    seeds: Seeds = "1,2,3",
    output: Output = Path("runs/benchmarks/tags.json"),
    tools: Tools = "bertmod auto,transformers fp32",
    epochs: Epochs = None,
    steps: Steps = None,
    learning_rate: Rate = None,
    train: Annotated[
        int | None, typer.Option("--sentences", min=1, help="Training sentences, to try it out.")
    ] = None,
    dev: NumDev = None,
    busy: Busy = False,
) -> None:
    """Fine-tune on CoNLL-2003's entities, with bertmod and with transformers, and compare."""
    from benchmarks.tags import SETTINGS, TAGS

    settings = changed_settings(SETTINGS, epochs=epochs, steps=steps, learning_rate=learning_rate)
    train_alike(
        TAGS,
        settings,
        data=data,
        environment=environment,
        checkpoint=checkpoint,
        seeds=seeds,
        output=output,
        tools=tools,
        busy=busy,
        num_rows={"train": train, "dev": dev},
    )


@app.command()
def conversion(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder that has SQuAD/.")],
    environment: Environment = Path(".venv-transformers"),
    checkpoint: Checkpoint = None,
    output: NewFile = Path("runs/benchmarks/conversion.json"),
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    dev: NumDev = None,
    busy: Busy = False,
) -> None:
    """Time how SQuAD's dev questions become windows, and logits answers, in both tools."""
    from benchmarks.conversion import measure

    given = partial(measure, data.resolve(), output, repeats=repeats, num_questions=dev, busy=busy)
    beside_transformers(given, environment, checkpoint)


@app.command()
def features(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder that has MRPC/.")],
    environment: Environment = Path(".venv-transformers"),
    checkpoint: Checkpoint = None,
    output: NewFile = Path("runs/benchmarks/features.json"),
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 5,
    lines: Annotated[
        int | None, typer.Option("--lines", min=4, help="Lines, to try it out.")
    ] = None,
    busy: Busy = False,
) -> None:
    """Time how fast lines become vectors, in both tools."""
    from benchmarks.features import measure

    given = partial(measure, data.resolve(), output, repeats=repeats, num_lines=lines, busy=busy)
    beside_transformers(given, environment, checkpoint)


@app.command()
def adapters(
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder that has MRPC/.")],
    environment_peft: Annotated[
        Path, typer.Option(metavar="DIR", help="Environment that has peft.")
    ] = Path(".venv-peft"),
    environment_adapters: Annotated[
        Path, typer.Option(metavar="DIR", help="Environment that has adapters.")
    ] = Path(".venv-adapters"),
    checkpoint: Checkpoint = None,
    seeds: Seeds = "1",
    output: Output = Path("runs/benchmarks/adapters.json"),
    tools: Annotated[
        str | None, typer.Option(help="Runs, by name, separated by commas; all otherwise.")
    ] = None,
    steps: Steps = None,
    busy: Busy = False,
) -> None:
    """Train adapters on MRPC, with bertmod, peft and adapters, and compare."""
    from benchmarks import adapters as benchmark
    from benchmarks.contenders import RunFailed
    from benchmarks.results import OtherResults
    from benchmarks.series import make_runs
    from benchmarks.settings import FineTuning
    from bertmod import BertmodError

    folders = {"peft": environment_peft, "adapters": environment_adapters}
    chosen = known_names(tools, benchmark.TOOLS)
    try:
        comparison = benchmark.Comparison(
            data=str(data.resolve()),
            checkpoint=weights_folder(checkpoint),
            pythons={peer: peer_python(peer, folders[peer]) for peer in benchmark.peers(chosen)},
            work=output.resolve().with_suffix(""),
            settings=FineTuning(learning_rate=benchmark.LEARNING_RATE, steps=steps),
        )
        results = make_runs(
            comparison, output, seeds=seed_numbers(seeds), tools=chosen, busy=busy, say=say
        )
    except (BertmodError, OtherResults, PeerError, RunFailed) as error:
        raise SystemExit(str(error)) from error
    print(benchmark.page(results))


@app.command()
def methods(
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder that has CoLA/, MRPC/, RTE/ and STS-B/.")
    ],
    checkpoint: Checkpoint = None,
    seeds: Seeds = "1,2",
    output: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder; finished runs in it are not repeated.")
    ] = Path("runs/benchmarks/methods"),
    methods: Annotated[
        str | None, typer.Option(help="Methods, separated by commas; all otherwise.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=5, help="Steps of each run, a multiple of 5.")
    ] = None,
    busy: Busy = False,
) -> None:
    """Train shared encoders with every kind of adapter on four tasks, and compare."""
    from benchmarks import methods as benchmark
    from benchmarks.contenders import RunFailed
    from benchmarks.results import OtherResults
    from bertmod import BertmodError

    if steps is not None and steps % benchmark.NUM_EPOCHS:
        raise typer.BadParameter(f"steps must be a multiple of {benchmark.NUM_EPOCHS}")
    study = benchmark.Study(
        folder=output.resolve(),
        methods=known_names(methods, tuple(benchmark.METHODS)),
        seeds=seed_numbers(seeds),
        data=str(data.resolve()),
        checkpoint=weights_folder(checkpoint),
        steps=steps or benchmark.STEPS,
    )
    try:
        print(study.run(busy=busy, say=say))
    except (BertmodError, OtherResults, RunFailed) as error:
        raise SystemExit(str(error)) from error


@app.command()
def mixed(
    checkpoint: Checkpoint = None,
    output: NewFile = Path("runs/benchmarks/mixed.json"),
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 15,
    threads: Annotated[int, typer.Option(min=1, help="Threads of PyTorch.")] = 1,
    precision: Annotated[str, typer.Option(metavar="fp32|bf16", help="Arithmetic.")] = "fp32",
    device: Annotated[str, typer.Option(metavar="DEVICE", help="cpu or cuda.")] = "cpu",
) -> None:
    """Time rows of eight tasks in one forward, and task by task."""
    from benchmarks.mixed import measure

    page = measure(
        weights_folder(checkpoint),
        output,
        repeats=repeats,
        threads=threads,
        precision=precision,
        device=device,
    )
    print(page)


@app.command()
def memory(
    output: NewFile = Path("runs/benchmarks/memory.json"),
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process.")] = 1,
) -> None:
    """Measure what a training step keeps in memory, by what is frozen and how layers are called."""
    from benchmarks import plans
    from benchmarks.memory import measure

    print(measure(output, threads=threads), plans.measure(output.with_name("plans.json")), sep="\n")


if __name__ == "__main__":
    app()
