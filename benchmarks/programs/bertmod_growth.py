"""Rounds of training steps and of predictions at many points; ``serving.py`` says how it is used.

Settings: ``threads``; ``most``, processes that there may be at a time; ``points``, name to its
``recipe``, its ``steps`` of a round, and how many come before the first round, ``first``. A line of
the input is ``train NAME`` or ``predict NAME``.

Every point is a process of its own, so that it has its own peak of memory and its own
optimizer. They are forks of this one, which has imported everything and made nothing.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
from bertmod_steps import new_trainer, one_round
from serving import Told, serve

from bertmod.data.features import FeatureTable
from bertmod.engine.evaluate import EvaluationSettings, decode
from bertmod.engine.precision import resolve_precision
from bertmod.engine.trainer import Trainer

FORKS = get_context("fork")


def start(settings: Told) -> tuple[Told, Any]:
    """Tell the precision; no point is made yet."""
    points = Points(settings)
    cpu = torch.device("cpu")
    return {"precision": resolve_precision("auto", cpu)}, points.round


class Points:
    """The points' processes, those that were asked last.

    Args:
        settings: What the program read.
    """

    def __init__(self, settings: Told) -> None:
        self._settings = settings
        self._asked: dict[str, tuple[Any, Connection]] = {}

    def round(self, line: str) -> Told:
        """What a point tells of a round.

        Raises:
            SystemExit: If its process ended; what it said is on standard error.
        """
        way, _, name = line.partition(" ")
        if name not in self._asked:
            self._asked[name] = self._started(name)
        self._asked[name] = self._asked.pop(name)  # the last to be ended
        connection = self._asked[name][1]
        connection.send(way)
        try:
            told: Told = connection.recv()
        except EOFError:
            raise SystemExit(f"the process of {name} ended") from None
        return told

    def _started(self, name: str) -> tuple[Any, Connection]:
        """A new process, in place of the one that was not asked for longest if there are many.

        Where one may have to be made anew for each round, each makes a round that does not count
        before: the first steps of a process are slower.
        """
        point = dict(self._settings["points"][name])
        if len(self._settings["points"]) > self._settings["most"]:
            point["first"] = max(point["first"], point["steps"])
        if len(self._asked) == self._settings["most"]:
            process, connection = self._asked.pop(next(iter(self._asked)))
            connection.close()
            process.join()
        own, other = FORKS.Pipe()
        inherited = [own, *(each for _, each in self._asked.values())]
        given = (other, inherited, point, self._settings["threads"])
        process = FORKS.Process(target=serve_point, args=given, daemon=True)
        process.start()
        other.close()
        return process, own


def serve_point(
    connection: Connection, inherited: list[Connection], settings: Told, threads: int
) -> None:
    """Make a point, and do rounds until the other end of the connection is closed.

    Args:
        connection: What asks for rounds.
        inherited: Copies of the other ends of this and other connections, from the fork: as long
            as there is one, its end is not noticed.
        settings: The point's.
        threads: Threads of PyTorch.
    """
    for other_end in inherited:
        other_end.close()
    torch.set_num_threads(threads)
    point = Point.made(settings)
    while True:
        try:
            way = connection.recv()
        except EOFError:
            return
        connection.send(point.train() if way == "train" else point.predict())


@dataclass(frozen=True)
class Point:
    """A trainer and what a round of it is.

    Attributes:
        trainer: It has made its first steps.
        steps: Steps of a round.
        facts: What there is to tell of every round.
    """

    trainer: Trainer
    steps: int
    facts: Told

    @classmethod
    def made(cls, settings: Told) -> Point:
        """A point of the program's settings."""
        begun = time.perf_counter()
        trainer = new_trainer(settings["recipe"])
        facts = {"starting_seconds": time.perf_counter() - begun, **parameters(trainer)}
        one_round(trainer, settings["first"])
        return cls(trainer, settings["steps"], facts)

    def train(self) -> Told:
        """Make steps."""
        told = one_round(self.trainer, self.steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {**told, **self.facts, "peak_bytes": peak}

    def predict(self) -> Told:
        """Answer the rows of as many steps, in batches of as many rows."""
        task = self.trainer.task_ids[0]
        rows = [self.trainer.rows(task, number, step=0).tables() for number in range(self.steps)]
        tables = [table for each in rows for table in each]
        settings = EvaluationSettings(
            self.trainer.settings.global_batch_size, self.trainer.settings.precision
        )
        whole = FeatureTable.concatenate(tables)
        begun = time.perf_counter()
        decode(self.trainer.model, task, whole, settings=settings)
        seconds = time.perf_counter() - begun
        return {"seconds": seconds, "rows": len(whole), "tokens": int(whole.lengths.sum())}


def parameters(trainer: Trainer) -> dict[str, int]:
    """Numbers of parameters: all, those of adapters, those that train."""
    named = list(trainer.model.named_parameters())
    return {
        "parameters": sum(each.numel() for _, each in named),
        "added": sum(each.numel() for name, each in named if name.startswith("adapters.")),
        "trained": sum(each.numel() for _, each in named if each.requires_grad),
    }


if __name__ == "__main__":
    serve(start)
