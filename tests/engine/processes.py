"""Functions in several forked processes that know each other."""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore

from bertmod.engine.parallel import Ranks, joined_ranks

SECONDS = 60.0


def in_processes(function: Callable[[Ranks], Any], size: int = 2) -> list[Any]:
    """What a function of the ranks returns in each of several processes."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / str(rank) for rank in range(size)]
        started = []
        for rank, path in enumerate(paths):
            pid = os.fork()
            if pid == 0:
                _set_environment(rank, size, store.port)
                os._exit(_child(function, size, path))
            started.append(pid)
        statuses = [_wait_for(pid) for pid in started]
        assert statuses == [0] * size
        return [pickle.loads(path.read_bytes()) for path in paths]


def _set_environment(rank: int, size: int, port: int) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }


def _child(function: Callable[[Ranks], Any], size: int, path: Path) -> int:
    try:
        with joined_ranks(size, gpu=False) as ranks:
            path.write_bytes(pickle.dumps(function(ranks)))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    return 0


def _wait_for(pid: int) -> int:
    """The exit status of a child, which is killed if it takes too long."""
    until = time.monotonic() + SECONDS
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            os.kill(pid, 9)
        time.sleep(0.01)
