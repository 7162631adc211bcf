"""A machine's facts and advice as text and as JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bertmod.machine.advice import advise
from bertmod.machine.facts import EXTRAS, VARIABLES, Machine, Torch
from bertmod.wording import listed, table

UNKNOWN = "unknown"


def machine_json(machine: Machine) -> dict[str, Any]:
    """Everything that is known, and the advice, as JSON values; sizes are in bytes."""
    return {**asdict(machine), "advice": advise(machine)}


def render_machine(machine: Machine) -> str:
    """Facts in sections, then what could not be found out, then advice."""
    variables = [(name, _set(machine, name), VARIABLES[name]) for name in VARIABLES]
    sections: dict[str, Sequence[str]] = {
        "versions": table(_versions(machine)),
        "processor and memory": table(_processor(machine)),
        "devices": table(_devices(machine), right=range(2, 5)),
        "plugins": table(_plugins(machine)),
        "optional extras": table(_extras(machine)),
        "environment": table(variables),
        "could not be found out": machine.unknown,
        "advice": advise(machine),
    }
    blocks = [
        [title, *(f"  {line}" for line in lines)] for title, lines in sections.items() if lines
    ]
    return "\n\n".join("\n".join(block) for block in blocks)


def _versions(machine: Machine) -> list[tuple[str, str]]:
    libraries = [(name, found or "not installed") for name, found in machine.libraries.items()]
    own = [("bertmod", machine.bertmod), ("python", machine.python), ("system", machine.system)]
    return [*own, *libraries]


def _processor(machine: Machine) -> list[tuple[str, str]]:
    limits, cache = machine.limits, machine.cache
    cores = UNKNOWN if machine.cores is None else f"{machine.cores}"
    cores += "" if limits.cores is None else f", limited to {limits.cores:g}"
    memory = f"{_gib(machine.memory)}, {_gib(machine.available)} available"
    memory += "" if limits.memory is None else f", limited to {_gib(limits.memory)}"
    room = UNKNOWN
    if cache is not None:
        room = f"{cache.folder}, {_gib(cache.free)} free"
        room += "" if cache.writable else ", not writable"
    threads = UNKNOWN if machine.torch is None else f"{machine.torch.threads}"
    return [
        ("processor", machine.processor or UNKNOWN),
        ("cores", cores),
        ("threads", threads),
        ("memory", memory),
        ("cache", room),
    ]


def _devices(machine: Machine) -> list[tuple[str, ...]]:
    """A line per device: what it is, how fast it was measured, what ``auto`` takes there."""
    torch = machine.torch
    if torch is None:
        return [(UNKNOWN,)]
    rows: list[tuple[str, ...]] = [("device", "what", *_PRECISIONS, "auto")]
    known = listed(torch.instructions)
    rows.append(("cpu", f"instructions for 16 bits: {known}", *_speeds(torch, "cpu")))
    for gpu in torch.gpus:
        what = f"{gpu.name}, {_gib(gpu.memory)}, {_gib(gpu.free)} free, capability {gpu.capability}"
        rows.append((gpu.device, what, *_speeds(torch, gpu.device)))
    return rows


_PRECISIONS = ("fp32 Gflop/s", "bf16 Gflop/s", "fp16 Gflop/s")


def _speeds(torch: Torch, device: str) -> Iterator[str]:
    for each in torch.speeds:
        if each.device == device:
            yield "cannot" if each.gflops is None else _number(each.gflops)
    yield torch.auto[device]


def _number(gflops: float) -> str:
    return f"{gflops:,.0f}" if gflops >= 10 else f"{gflops:.1f}"


def _plugins(machine: Machine) -> Sequence[tuple[str, ...]]:
    rows = [
        (f"{each.distribution} {each.version}".strip(), each.name, each.state, each.cause)
        for each in machine.plugins
    ]
    return rows or [("none beside bertmod's own",)]


def _extras(machine: Machine) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, (purpose, _) in EXTRAS.items():
        missing = machine.extras[name]
        state = f'not installed ({listed(missing)}): pip install "bertmod[{name}]"'
        rows.append((name, purpose, state if missing else "installed"))
    return rows


def _set(machine: Machine, name: str) -> str:
    value = machine.environment[name]
    return "not set" if value is None else f'"{value}"'


def _gib(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count / 2**30:,.1f} GiB"
