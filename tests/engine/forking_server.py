"""Runs the program in forks, so that PyTorch is imported once for many runs.

Reads one JSON request per line, answers with the exit status; see ``Program`` in program.py.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import scipy.stats
import sklearn.metrics
import torch
import torch._dynamo
import torch.distributed.checkpoint.hf_storage
import torch.distributed.fsdp
import torch.utils.tensorboard
from torch.distributed import TCPStore

import bertmod.assemble.run
import bertmod.builtin
import bertmod.engine.trainer
from bertmod.cli.program import main
from bertmod.engine import data_parallel, loss_scale, offload

PRELOADED = (scipy.stats, sklearn.metrics, torch._dynamo, torch.utils.tensorboard)
for found in pkgutil.walk_packages(bertmod.builtin.__path__, "bertmod.builtin."):
    importlib.import_module(found.name)

BLOWS = ("kill_at", "kill_at_backward", "kill_after", "term_at_step", "room")
CHANGES = {
    "open",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.truncate",
    "shutil.rmtree",
}


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave_room(mib: int) -> None:
    """Get no more than so much memory beyond what this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def fill_disk(run: Path) -> None:
    """Leave no room on the disk of a run folder, beside which it is filled."""
    free = os.statvfs(run.parent)
    (run.parent / "filler").write_bytes(b"\0" * free.f_bavail * free.f_frsize)


def make_read_only(folder: Path) -> None:
    """From now on nothing is made, renamed or removed in a folder; root needs a mount for that."""
    if os.getuid() != 0:
        folder.chmod(0o500)
        return
    for words in (["--bind", folder, folder], ["-o", "remount,bind,ro", folder]):
        subprocess.run(["mount", *words], check=True)


def force_host_copies() -> None:
    """Offloading copies on a CPU too."""
    offload.settled_offload = lambda offload, device: offload


def grow_soon() -> None:
    """A dynamic loss scale begins where gradients overflow and doubles after two good steps."""
    loss_scale.START, loss_scale.GROWTH_STEPS = 2.0**20, 2


def give_two_devices() -> None:
    """What is spread over all GPUs is computed twice on the CPU."""
    data_parallel.gpus = lambda: [torch.device("cpu")] * 2


UNLIKE = {
    "host copies": force_host_copies,
    "scale that grows soon": grow_soon,
    "two devices": give_two_devices,
}
"""What may be otherwise in a run than a user can have it here."""


class Strike:
    """Acts before the n-th of some events; with 0 it only counts them."""

    def __init__(self, count: int, act: Callable[[], None]) -> None:
        self.count, self.act, self.done = count, act, 0

    def __call__(self) -> None:
        self.done += 1
        if self.done == self.count:
            self.act()


def arm_changes(output: Path, strike: Strike) -> None:
    """Strike before a change or sync of a file in a folder."""
    sync = os.fsync

    def counted_sync(descriptor: int) -> None:
        strike()
        sync(descriptor)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or not str(arguments[0]).startswith(str(output)):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        strike()

    os.fsync = counted_sync
    sys.addaudithook(hook)


def arm_backward(strike: Strike) -> None:
    """Strike before a backward pass, which is in the middle of a step."""
    original = torch.autograd.backward

    def backward(*arguments: Any, **named: Any) -> None:
        strike()
        torch.autograd.backward = original  # under a mode of torch it calls itself once more
        try:
            original(*arguments, **named)
        finally:
            torch.autograd.backward = backward

    torch.autograd.backward = backward


def act_of(instead: str | None, run: Path) -> Callable[[], None]:
    """What strikes at a change of a file."""
    if instead is None:
        return kill_self
    return (
        partial(fill_disk, run)
        if instead == "full disk"
        else partial(make_read_only, run / instead)
    )


def arm(request: dict[str, Any], run: Path, tally: Path) -> None:
    """Prepare what strikes at a change of a file or in a step; count both where nothing does."""
    changes = Strike(request["kill_at"] or 0, act_of(request["instead"], run))
    passes = Strike(request["kill_at_backward"] or 0, kill_self)
    arm_changes(run, changes)
    arm_backward(passes)
    if request["kill_at"] == 0:
        atexit.register(lambda: tally.write_text(json.dumps([changes.done, passes.done])))


def arm_steps(request: dict[str, Any]) -> None:
    """Be killed some time after training began, or within a step get a signal or little memory."""
    trainer = bertmod.engine.trainer.Trainer
    original = trainer.start_step

    def start_step(self: Any) -> Any:
        if request["kill_after"] is not None:
            threading.Timer(request["kill_after"], kill_self).start()
            request["kill_after"] = None
        if self.step + 1 == request["term_at_step"]:
            os.kill(os.getpid(), getattr(signal, request["signal"]))
        if request["room"] is not None and self.step + 1 == request["room"][0]:
            leave_room(request["room"][1])
        return original(self)

    trainer.start_step = start_step


def child(request: dict[str, Any], rank: int) -> int:
    folder = Path(request["folder"])
    suffix = f"-{rank}" if rank else ""
    for number, name in ((1, "out"), (2, "err")):
        path = folder / f"{name}{suffix}.txt"
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.close(0)
    words = request["words"] + request["more_words"].get(str(rank), [])
    if rank != request["struck_rank"]:
        request |= dict.fromkeys(BLOWS)
    for name in request["unlike"]:
        UNLIKE[name]()
    if request["kill_at"] is not None or request["kill_at_backward"] is not None:
        arm(request, Path(words[words.index("--output") + 1]), folder / "counts.json")
    arm_steps(request)
    try:
        return main(words)
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()


def start(request: dict[str, Any]) -> list[int]:
    """Exit statuses of as many processes as are asked for, started as torchrun does."""
    size = request["processes"]
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) if size > 1 else None
    started = []
    for rank in range(size):
        pid = os.fork()
        if pid == 0:
            if store is not None:
                os.environ |= {
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "WORLD_SIZE": str(size),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": str(store.port),
                    "TORCHELASTIC_USE_AGENT_STORE": "True",
                }
            os._exit(child(request, rank))
        started.append(pid)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in started]


def serve() -> None:
    assert PRELOADED
    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps({"statuses": start(json.loads(line))}), flush=True)


if __name__ == "__main__":
    serve()
