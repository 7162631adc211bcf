"""Whether gradients that leave during the backward pass make a step of two processes shorter."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Mapping
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchmarks.options import NewFile

if TYPE_CHECKING:
    from bertmod.engine.trainer import Trainer

PROCESSES, BATCH_SIZE = 2, 16
WAYS = ("after the backward pass", "during it")
"""When gradients are sent."""


def overlap(
    output: NewFile = Path("runs/benchmarks/overlap.json"),
    repeats: Annotated[int, typer.Option(min=1, help="Rounds that count.")] = 15,
) -> None:
    """Time steps of two processes, gradients sent during the backward pass and after it."""
    print(measure(output, repeats=repeats))


def measure(output: Path, *, repeats: int) -> str:
    """Make steps of two gloo processes, of both kinds in turn, and write the medians.

    Args:
        output: JSON file; a Markdown page goes beside it.
        repeats: Rounds; the first one does not count.

    Returns:
        The page.
    """
    from benchmarks.machine import machine, versions
    from benchmarks.memory import ENCODER
    from benchmarks.results import save_page

    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = [
        spawn.Process(target=work, args=(rank, port, repeats, theirs)) for rank in range(PROCESSES)
    ]
    for process in started:
        process.start()
    theirs.close()
    try:
        times: dict[str, list[float]] = ours.recv()
    finally:
        for process in started:
            process.join()
    ratios = [during / after for after, during in zip(*times.values(), strict=True)]
    values = {
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "machine": machine() | {"threads": 1, "load": os.getloadavg()[0]},
        "versions": versions(),
        "encoder": ENCODER,
        "repeats": repeats,
        "seconds": {way: median(every) for way, every in times.items()},
        "ratio": median(ratios),
    }
    page = _page(values)
    save_page(output, json.dumps(values, indent=2) + "\n", page)
    return page


def work(rank: int, port: int, repeats: int, found: Connection) -> None:
    """Be one of the processes; the first one sends every step's seconds by the way it was made."""
    import torch

    from bertmod.engine import gradient_sums
    from bertmod.engine.parallel import joined_ranks

    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(PROCESSES),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(1)
    hook = gradient_sums._Sending.arrived
    hooks = dict(zip(WAYS, (lambda *_: None, hook), strict=True))
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    with joined_ranks(PROCESSES, gpu=False) as ranks:
        trainer = _trainer(ranks)
        for number in range(repeats + 1):
            for way in WAYS if number % 2 else reversed(WAYS):
                gradient_sums._Sending.arrived = hooks[way]  # type: ignore[assignment]
                ranks.wait()
                start = time.perf_counter()
                trainer.train_step()
                ranks.wait()
                if number:
                    times[way].append(time.perf_counter() - start)
    if rank == 0:
        found.send(times)


def _trainer(ranks: Any) -> Trainer:
    import torch

    from benchmarks.memory import ENCODER, random_features
    from bertmod.contracts.sampler import SamplerContext
    from bertmod.engine.settings import TrainerSettings
    from bertmod.engine.tasks import TrainingTask
    from bertmod.engine.trainer import Trainer
    from bertmod.library import build, build_encoder, build_head
    from bertmod.model.multitask import MultiTaskModel

    torch.manual_seed(0)
    shape = {key: value for key, value in ENCODER.items() if key != "name"}
    encoder = build_encoder(ENCODER["name"], **shape)
    head = build_head(encoder, "rte", "classification", labels=("no", "yes"))
    features = random_features(BATCH_SIZE * 4)
    return Trainer(
        MultiTaskModel(encoder, {}, {"rte": head}),
        [TrainingTask("rte", features, {}, "")],
        sampler=build("sampler", "round_robin", SamplerContext.of({"rte": features})),
        optimizer=lambda groups: build("optimizer", "adamw", groups),
        schedule=build("schedule", "constant"),
        settings=TrainerSettings(
            num_epochs=1000, global_batch_size=BATCH_SIZE, precision="fp32", device="cpu"
        ),
        ranks=ranks,
        quiet=True,
    )


def _page(values: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {way} | {seconds:.3f} |" for way, seconds in values["seconds"].items())
    about = ", ".join(f"{key} {value}" for key, value in values["machine"].items())
    return (
        f"# Gradients during the backward pass\n\nA step of {PROCESSES} gloo processes, "
        f"{BATCH_SIZE} rows; medians of {values['repeats']} rounds.\n\n"
        f"| gradients are sent | seconds a step |\n| --- | ---: |\n{rows}\n\n"
        f"Median of the rounds' ratios: {values['ratio']:.3f}\n\n{about}; `{values['command']}`\n"
    )
