"""Tasks that may run in any order, on several processes; each leaves files behind it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from bertmod.errors import TrainingError

Task = TypeVar("Task")
Result = TypeVar("Result")
Run = Callable[[Callable[[Any, Task], Result], Sequence[Task]], Iterator[Result]]
"""Runs a function of the shared state and a task on every task; results in the order of finishing.
"""

_AHEAD = 2
"""Tasks of a process that are handed out before it asks."""

_state: Any = None


@contextmanager
def crew(num_workers: int, state: Any) -> Iterator[Run[Any, Any]]:
    """Processes that share a state; none where one worker is enough.

    When the block ends early, tasks that have begun are finished first.

    Args:
        num_workers: Processes, at least 1.
        state: What every task needs; pickled once for each process.
    """
    if num_workers == 1:
        yield lambda function, tasks: (function(state, task) for task in tasks)
        return
    executor = ProcessPoolExecutor(
        num_workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(state,)
    )
    try:
        yield lambda function, tasks: _results(executor, num_workers, function, tasks)
    finally:
        executor.shutdown(cancel_futures=True)


def _results(
    executor: ProcessPoolExecutor,
    num_workers: int,
    function: Callable[[Any, Any], Any],
    tasks: Sequence[Any],
) -> Iterator[Any]:
    left = iter(tasks)
    running: set[Future[Any]] = set()
    try:
        while True:
            while len(running) < _AHEAD * num_workers and (task := next(left, None)) is not None:
                running.add(executor.submit(_call, function, task))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool:
        raise TrainingError(
            "a worker process ended abruptly: killed by hand, or by the system for lack of "
            "memory\n  go on with --resume, with fewer --workers where memory is short"
        ) from None


def _begin(state: Any) -> None:
    """Begin a process: it ends with its parent, leaves Ctrl-C to it, and uses one core."""
    global _state
    _state = state
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _call(function: Callable[[Any, Any], Any], task: Any) -> Any:
    return function(_state, task)
