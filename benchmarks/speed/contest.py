"""Contenders that take turns, the machine's own rate among them, and what they told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.contenders import RunFailed
from benchmarks.peers import PeerError, peer_python
from benchmarks.workers import Told, Unable, Worker, take_turns

RATES = ("bf16", "fp32")
"""Precisions whose matrix products are timed in every round."""


@dataclass(frozen=True)
class Staff:
    """A worker that does the rounds of some contenders.

    Attributes:
        program: Its program in ``benchmarks/programs/``.
        settings: What that reads.
        peer: The peer whose environment it runs in; None: this one, with bertmod.
    """

    program: str
    settings: Mapping[str, Any]
    peer: str | None = None


@dataclass(frozen=True)
class Contender:
    """What takes turns.

    Attributes:
        name: What the page calls it.
        worker: Which worker does its rounds.
        units: What a round gets done: real tokens, or rows.
        way: What the worker is told.
        precision: Arithmetic of its matrix products; ``auto``: the worker tells.
        operations: Additions and multiplications of the matrix products that a round needs; 0 if
            they are not what it is about.
        expected: What it must tell of every round, so that all do the same work.
    """

    name: str
    worker: str
    units: float
    way: str = ""
    precision: str = "auto"
    operations: float = 0.0
    expected: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ratio:
    """A line of the table of ratios.

    Attributes:
        title: What is compared.
        name: The contender that should be faster.
        over: The other one.
        target: What the ratio should be at least; None where nothing is said.
    """

    title: str
    name: str
    over: str
    target: float | None = None


@dataclass(frozen=True)
class Group:
    """Contenders that take turns with one another.

    Attributes:
        title: What the page calls them.
        staff: Workers by name; they live as long as the group's rounds.
        contenders: In the order of their turns.
        ratios: What the page compares.
        shares: Contender to the share of the rate that it should reach, in (0, 1].
    """

    title: str
    staff: Mapping[str, Staff]
    contenders: Sequence[Contender]
    ratios: Sequence[Ratio] = ()
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """How a contest is held.

    Attributes:
        folder: Working files.
        rounds: Rounds that count.
        threads: Threads of each worker.
        environments: Peer to the folder of its environment.
        chosen: Names of the contenders that take part; None: all.
        device: What training steps and the rate are of, ``cpu`` or ``cuda``.
        say: Takes a line for each round.
    """

    folder: Path
    rounds: int
    threads: int
    environments: Mapping[str, Path]
    chosen: frozenset[str] | None = None
    device: str = "cpu"
    say: Callable[[str], None] = print

    def asked(self, group: Group) -> list[Contender]:
        """The contenders of a group that take part."""
        chosen = self.chosen
        return [each for each in group.contenders if chosen is None or each.name in chosen]


def hold_all(groups: Sequence[Group], setting: Setting) -> list[dict[str, Any]]:
    """What ``hold`` gives of each group of which a contender takes part, one after another.

    Raises:
        Unable: If a chosen contender is in no group.
        RunFailed: As ``hold``.
    """
    known = {each.name for group in groups for each in group.contenders}
    if setting.chosen is not None and (unknown := sorted(setting.chosen - known)):
        raise Unable(f'no contender "{unknown[0]}"; there is: {", ".join(sorted(known))}')
    return [hold(group, setting) for group in groups if setting.asked(group)]


def hold(group: Group, setting: Setting) -> dict[str, Any]:
    """Let the contenders of a group take turns.

    Returns:
        Values for JSON: who they were, what each told of each round, what the workers said of
        themselves, the machine's rates, and why some took no part.

    Raises:
        RunFailed: If a worker ends, or did other work than the others.
    """
    asked = setting.asked(group)
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name in dict.fromkeys(each.worker for each in asked):
            try:
                workers[name] = stack.enter_context(_hired(group.staff[name], name, setting))
            except (PeerError, Unable) as error:
                missing |= {each.name: str(error) for each in asked if each.worker == name}
        present = [each for each in asked if each.name not in missing]
        rating = {"threads": setting.threads, "device": setting.device}
        rate = stack.enter_context(
            Worker(
                "matrix_rate",
                rating,
                python=_own(),
                folder=setting.folder,
                name="rate",
                peer=False,
            )
        )
        ways = {each.name: partial(_round, each, workers[each.worker]) for each in present}
        rates = {f"rate of {each}": partial(rate.round, each) for each in RATES}
        told = take_turns(ways | rates, rounds=setting.rounds, tell=partial(_tell, setting))
    return {
        "title": group.title,
        "contenders": [_settled(each, workers[each.worker]) for each in present],
        "ratios": [asdict(each) for each in group.ratios],
        "shares": dict(group.shares),
        "missing": missing,
        "measured": {each.name: told[each.name] for each in present},
        "rates": {each: [run["rate"] for run in told[f"rate of {each}"]] for each in RATES},
        "workers": {name: worker.about for name, worker in workers.items()},
    }


def _hired(staff: Staff, name: str, setting: Setting) -> Worker:
    """A worker that is not started yet.

    Raises:
        PeerError: If its environment is missing.
    """
    python = _own()
    if staff.peer is not None:
        python = peer_python(staff.peer, setting.environments[staff.peer])
    return Worker(
        staff.program,
        {"threads": setting.threads, "device": setting.device, **staff.settings},
        python=python,
        folder=setting.folder,
        name=name.replace(" ", "-"),
        peer=staff.peer is not None,
    )


def _own() -> Path:
    return Path(sys.executable)


def _round(contender: Contender, worker: Worker) -> Told:
    told = worker.round(contender.way)
    for name, value in contender.expected.items():
        if told[name] != value:
            raise RunFailed(
                f"{contender.name}: a round of {told[name]:,} {name}, the others' are {value:,}"
            )
    return told


def _settled(contender: Contender, worker: Worker) -> dict[str, Any]:
    """A contender's values, its precision the worker's where that tells."""
    values = asdict(contender)
    if contender.precision == "auto":
        values["precision"] = worker.about.get("precision", "")
    return values


def _tell(setting: Setting, name: str, number: int, told: Told) -> None:
    setting.say(f"round {number} of {setting.rounds}, {name}: {told['seconds']:.2f} s")
