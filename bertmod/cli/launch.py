"""``--nproc N``: this command in N processes of this machine, which torch starts and watches."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from bertmod.cli.program import INTERRUPTED
from bertmod.errors import BertmodError, Problem, RecipeError
from bertmod.machine.limits import usable_cores
from bertmod.recipe.processes import LAUNCHER, is_launched, number_of_processes
from bertmod.wording import counted

SAVING_SECONDS = 7 * 86_400
"""How long processes that were asked to stop may take to finish what they are at, which may be an
evaluation of hours, and save. Whoever cannot wait gives a second signal."""

_LINES = 30
_PR_SET_PDEATHSIG = 1


def follow_launcher() -> None:
    """Stop and save, as at SIGTERM, if the process dies that started this one (on Linux)."""
    if is_launched() and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def check_nproc(number: int | None) -> int | None:
    """``--nproc`` as it was typed, once it is known to make sense."""
    if number is not None and number_of_processes() > 1:
        raise typer.BadParameter(
            f"torchrun has started {number_of_processes()} processes already; leave it out"
        )
    return number


def require_devices(number: int, device: str) -> None:
    """Refuse more processes than this machine has GPUs, or without them cores.

    Args:
        number: Processes to start.
        device: The recipe's ``training.device``.

    Raises:
        RecipeError: If there are fewer; it says both numbers.
    """
    gpus, cores = 0, usable_cores()
    if device != "cpu":
        import torch

        gpus = torch.cuda.device_count()
    if number <= (gpus or cores):
        return
    has = counted(gpus, "GPU") if gpus else counted(cores, "core")
    what = f"{number} processes, and this machine has {has}"
    more = [f"use at most {gpus or cores}"]
    if gpus and number <= cores:
        more.append('or --set training.device="cpu"')
    raise RecipeError("this machine", [Problem("--nproc", what, tuple(more))])


def launch(words: Sequence[str], number: int, folder: Path) -> int:
    """Run the program in several processes and see them to their end.

    The first process has this terminal. What another one says is shown if it fails first.

    Args:
        words: What follows the program's name.
        number: How many processes.
        folder: The run folder.

    Returns:
        Exit status: of the process that failed first, 1 if it was killed; 0 if none failed.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]
    from torch.distributed.elastic.multiprocessing import (
        DefaultLogsSpecs,
        SignalException,
        Std,
        start_processes,
    )

    from bertmod.engine.run_folder import RECIPE_FILE

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with tempfile.TemporaryDirectory(prefix="bertmod-") as logs:
        others = dict.fromkeys(range(1, number), Std.ALL)
        processes = start_processes(
            "bertmod",
            sys.executable,
            dict.fromkeys(range(number), ("-m", "bertmod", *words)),
            {rank: _environment(rank, number, store.port) for rank in range(number)},
            DefaultLogsSpecs(logs, redirects=others),
        )
        asked = False
        try:
            ended = processes.wait(period=0.1)
        except SignalException as stop:
            asked, ended = True, _stop(processes, stop.sigval)
        return _told(ended, number, asked=asked, begun=(folder / RECIPE_FILE).is_file())


def _environment(rank: int, number: int, port: int) -> dict[str, str]:
    threads = str(max(1, usable_cores() // number))
    return {
        LAUNCHER: str(os.getpid()),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(number),
        "LOCAL_WORLD_SIZE": str(number),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # they meet at this process's store
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads),
    }


def _stop(processes: Any, number: signal.Signals) -> Any:
    """Pass a signal on and wait until the processes have saved; a second one ends them at once."""
    from torch.distributed.elastic.multiprocessing import SignalException

    try:
        processes.close(number, timeout=SAVING_SECONDS)
    except SignalException:
        for impatient in (signal.SIGINT, signal.SIGTERM):
            signal.signal(impatient, signal.SIG_IGN)
        processes.close(signal.SIGKILL)
    return processes.wait(timeout=0)


def _told(ended: Any, number: int, *, asked: bool, begun: bool) -> int:
    """The exit status of all; says which process failed first unless it was the one that speaks."""
    if not ended.failures:
        return 0
    first = next(iter(ended.failures.values()))  # they are noted as they are seen
    status = int(first.exitcode)
    if first.local_rank == 0 and status > 0:
        return status
    if asked:  # before they trained, when there was nothing to save, or a second time
        said = "stopped at once; go on with --resume" if begun else "interrupted"
        print(said, file=sys.stderr)
        return INTERRUPTED
    how = f"ended with status {status}"
    if status < 0:
        how = f"was killed by {signal.Signals(-status).name}"
    lines = [f"process {first.local_rank} of {number} (from 0) {how}; the others were stopped"]
    if first.local_rank > 0:
        lines += _last_words(Path(ended.stderrs[first.local_rank]))
    if begun and status != BertmodError.exit_status:
        lines.append("  go on with the same command and --resume")
    print("error: " + "\n".join(lines), file=sys.stderr)
    return max(status, 1)


def _last_words(path: Path) -> list[str]:
    """The last lines that a process wrote, indented."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    return [f"    {line}" for line in text.rstrip().splitlines()[-_LINES:]]
