"""Runs the program in forks, so that PyTorch is imported once for many runs.

Reads one JSON request per line, answers with the exit status; see ``Program`` in conftest.py.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import scipy.stats
import sklearn.metrics
import torch
import torch._dynamo
import torch.utils.tensorboard
from torch.distributed import TCPStore

import bertmod.assemble.run
import bertmod.engine.trainer
from bertmod.cli.program import main

PRELOADED = (scipy.stats, sklearn.metrics, torch._dynamo, torch.utils.tensorboard)

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


def arm_changes(output: Path, count: int, tally: Path) -> None:
    """Be killed before the n-th change or sync of a file in a folder; with 0 only count them."""
    done = 0
    sync = os.fsync

    def tell() -> None:
        tally.write_text(str(done))

    if count == 0:
        atexit.register(tell)

    def step() -> None:
        nonlocal done
        done += 1
        if done == count:
            kill_self()

    def counted_sync(descriptor: int) -> None:
        step()
        sync(descriptor)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in CHANGES or not str(arguments[0]).startswith(str(output)):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        step()

    os.fsync = counted_sync
    sys.addaudithook(hook)


def arm_steps(request: dict[str, Any]) -> None:
    """Be killed some time after training began, or get a signal within a step."""
    trainer = bertmod.engine.trainer.Trainer
    original = trainer.train_step

    def train_step(self: Any) -> Any:
        if request["kill_after"] is not None:
            threading.Timer(request["kill_after"], kill_self).start()
            request["kill_after"] = None
        if self.step + 1 == request["term_at_step"]:
            os.kill(os.getpid(), getattr(signal, request["signal"]))
        return original(self)

    trainer.train_step = train_step


def child(request: dict[str, Any], rank: int) -> int:
    folder = Path(request["folder"])
    suffix = f"-{rank}" if rank else ""
    for number, name in ((1, "out"), (2, "err")):
        path = folder / f"{name}{suffix}.txt"
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.close(0)
    words = request["words"] + request["more_words"].get(str(rank), [])
    if rank != request["struck_rank"]:
        request |= {"kill_at": None, "kill_after": None, "term_at_step": None}
    if request["kill_at"] is not None:
        output = Path(words[words.index("--output") + 1])
        arm_changes(output, request["kill_at"], folder / "changes.txt")
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
