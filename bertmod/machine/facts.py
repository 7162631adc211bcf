"""What a machine has: found without a traceback, whatever it lacks."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from bertmod import __version__
from bertmod.machine.limits import Limits, allowed_cores, read_limits
from bertmod.machine.speed import Speed, measure_speeds
from bertmod.plugins import SWITCH
from bertmod.registry import Registry

EXTRAS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "chinese": ("words of Chinese text, to mask them whole", ("jieba",)),
    "hub": ("checkpoints by their name on the hub", ("huggingface_hub",)),
    "onnx": ("exported models", ("onnx", "onnxruntime", "onnxscript")),
    "plots": ("curves of question answering", ("matplotlib",)),
    "tables": ("Parquet files", ("pyarrow",)),
    "tensorflow": ("Google's checkpoints", ("tensorflow",)),
    "testing": ("plugins' own tests", ("pytest",)),
}
"""Optional extra to what it is for and the modules that it brings."""

VARIABLES: Mapping[str, str] = {
    "OMP_NUM_THREADS": "threads of a product on the CPU",
    "CUDA_VISIBLE_DEVICES": "GPUs that programs see",
    "HF_HUB_OFFLINE": "whether the hub is read from its cache alone",
    "HF_HOME": "where the hub's cache is",
    "XDG_CACHE_HOME": "where bertmod's cache is",
    SWITCH: "plugins that are loaded",
}
"""Environment variable to what it says."""

LIBRARIES = ("torch", "numpy", "tokenizers", "safetensors", "pydantic")
T = TypeVar("T")


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch sees.

    Attributes:
        device: ``cuda:N``.
        name: What it calls itself.
        memory: All of its memory, bytes.
        free: What no program has taken, bytes.
        capability: Its compute capability.
    """

    device: str
    name: str
    memory: int
    free: int
    capability: str


@dataclass(frozen=True)
class Torch:
    """What torch says of itself and the machine.

    Attributes:
        threads: Threads of a product on the CPU.
        cuda: Version of CUDA that it was built for; None: it was built without.
        gpus: GPUs that it sees.
        instructions: The CPU's instructions for 16 bits, by name.
        auto: Device to the precision that ``auto`` takes there.
        speeds: Measured speeds.
    """

    threads: int
    cuda: str | None
    gpus: tuple[Gpu, ...]
    instructions: tuple[str, ...]
    auto: Mapping[str, str]
    speeds: tuple[Speed, ...]


@dataclass(frozen=True)
class Disk:
    """Where the cache is.

    Attributes:
        folder: The folder, which need not be there yet.
        free: Room on its disk, bytes.
        writable: Whether this user may write there.
    """

    folder: str
    free: int
    writable: bool


@dataclass(frozen=True)
class PluginState:
    """A plugin, and what became of it: ``loaded``, ``failed`` (and why) or ``switched off``."""

    name: str
    distribution: str
    version: str
    state: str
    cause: str


@dataclass(frozen=True)
class Machine:
    """What a machine has; None is what could not be found out, and ``unknown`` says why.

    Attributes:
        bertmod: Version.
        python: Version.
        system: Operating system.
        libraries: Library to its version; None where it is not installed.
        processor: What the processor calls itself.
        cores: Cores that this process may run on.
        memory: All memory, bytes.
        available: Memory that is free or can be freed, bytes.
        limits: What a container or job leaves of them.
        torch: What torch says.
        cache: Where the cache is.
        plugins: Plugins that do not ship with bertmod, and those that failed.
        extras: Optional extra to the modules of it that are not installed.
        environment: Variables that matter; None where they are not set.
        unknown: What could not be found out, a line each.
    """

    bertmod: str
    python: str
    system: str
    libraries: Mapping[str, str | None]
    processor: str | None
    cores: int | None
    memory: int | None
    available: int | None
    limits: Limits
    torch: Torch | None
    cache: Disk | None
    plugins: tuple[PluginState, ...]
    extras: Mapping[str, tuple[str, ...]]
    environment: Mapping[str, str | None]
    unknown: tuple[str, ...] = field(default=())


def examine(registry: Registry) -> Machine:
    """Look at this machine; takes a few seconds, most of them to load torch and to measure.

    Args:
        registry: What is installed.
    """
    from bertmod.assemble.lock import processor_name
    from bertmod.model.card import installed_versions

    unknown: list[str] = []

    def found(what: str, find: Callable[[], T]) -> T | None:
        try:
            return find()
        except (Exception, SystemExit) as error:  # an odd machine is what is looked for
            cause = str(error).strip().partition("\n")[0]
            unknown.append(f"{what}: {type(error).__name__}: {cause}")
            return None

    torch = found("torch", look_at_torch)
    versions = installed_versions(LIBRARIES)
    memory = found("memory", read_memory) or (None, None)
    return Machine(
        bertmod=__version__,
        python=platform.python_version(),
        system=platform.platform(),
        libraries={name: versions.get(name) for name in LIBRARIES},
        processor=found("processor", processor_name),
        cores=found("cores", allowed_cores),
        memory=memory[0],
        available=memory[1],
        limits=found("limits", read_limits) or Limits(),
        torch=torch,
        cache=found("cache", look_at_cache),
        plugins=plugin_states(registry),
        extras={name: found(name, lambda n=name: missing_modules(n)) or () for name in EXTRAS},  # type: ignore[misc]
        environment={name: os.environ.get(name) for name in VARIABLES},
        unknown=tuple(unknown),
    )


def look_at_torch() -> Torch:
    """Devices, what ``auto`` takes on each, and measured speeds; each GPU on its own."""
    import torch

    from bertmod.engine.precision import resolve_precision

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = [torch.device("cpu"), *(torch.device("cuda", number) for number in range(count))]
    capabilities = torch.cpu.get_capabilities()
    return Torch(
        threads=torch.get_num_threads(),
        cuda=torch.version.cuda,
        gpus=tuple(_gpu(number) for number in range(count)),
        instructions=tuple(
            name
            for name in ("amx_bf16", "avx512_bf16", "amx_fp16", "avx512_fp16")
            if capabilities.get(name)
        ),
        auto={str(device): resolve_precision("auto", device) for device in devices},
        speeds=tuple(speed for device in devices for speed in measure_speeds(device)),
    )


def _gpu(number: int) -> Gpu:
    import torch

    properties = torch.cuda.get_device_properties(number)
    free, total = torch.cuda.mem_get_info(number)
    capability = f"{properties.major}.{properties.minor}"
    return Gpu(f"cuda:{number}", properties.name, total, free, capability)


def read_memory(root: Path = Path("/")) -> tuple[int, int | None]:
    """All memory and what is available of it, bytes; the second is None where nothing tells.

    Args:
        root: Where ``proc`` is.
    """
    listing = root / "proc/meminfo"
    if listing.is_file():
        rows = [line.split() for line in listing.read_text(encoding="utf-8").splitlines()]
        sizes = {row[0].rstrip(":"): 1024 * int(row[1]) for row in rows if len(row) > 1}
        return sizes["MemTotal"], sizes.get("MemAvailable")
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None


def look_at_cache() -> Disk:
    """The folder of the cache, and the disk that it is on or would be on."""
    from bertmod.assemble.data import cache_folder

    folder = cache_folder()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    return Disk(str(folder), shutil.disk_usage(there).free, writable)


def plugin_states(registry: Registry) -> tuple[PluginState, ...]:
    """The plugins that were added to bertmod, and whatever failed."""
    return tuple(
        PluginState(each.name, each.distribution, each.version, each.state, each.cause)
        for each in registry.plugins
        if each.distribution != "bertmod" or each.state != "loaded"
    )


def missing_modules(extra: str) -> tuple[str, ...]:
    """Of an extra's modules, those that are not installed."""
    return tuple(name for name in EXTRAS[extra][1] if find_spec(name) is None)
