"""SIGINT and SIGTERM as a wish to stop after the step at hand."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, ClassVar

from bertmod.engine.parallel import Ranks
from bertmod.errors import BertmodError

SIGNALS = (signal.SIGINT, signal.SIGTERM)

WHAT_FOLLOWS = (
    "the step or evaluation at hand is finished and saved; a second signal ends the run at once"
)
_STANDARD_ERROR = 2


class Interrupted(BertmodError):
    """A run was asked to stop, and has saved what it needs to go on.

    Args:
        name: Name of the signal.
        step: Step at which the run can be resumed.
    """

    exit_status: ClassVar[int] = 130

    def __init__(self, name: str, step: int) -> None:
        self.name, self.step = name, step
        super().__init__(f"stopped by {name} after step {step}; go on with --resume")


class StoppedAtOnce(BertmodError):
    """A run was asked to stop a second time, and goes on from what it had saved before."""

    exit_status: ClassVar[int] = 130

    def __init__(self) -> None:
        super().__init__("stopped at once; go on with --resume")


class SignalWatch:
    """Within the block, the first signal only sets ``received``; the second one strikes at once.

    A second SIGINT leaves the block as ``StoppedAtOnce``. A second SIGTERM ends the process as it
    would have without the block, also where it waits for one that does not answer.

    Outside the main thread signals cannot be caught, and nothing is changed.

    Args:
        tells: Whether to say on standard error that a signal came, and what it will do.
    """

    def __init__(self, *, tells: bool = False) -> None:
        self.received: str | None = None
        self._tells = tells
        self._previous: dict[signal.Signals, Any] = {}

    def agreed(self, ranks: Ranks) -> str | None:
        """The signal that any process of the run received, the same for all; None without one."""
        number = ranks.largest(signal.Signals[self.received] if self.received else 0)
        return signal.Signals(number).name if number else None

    def __enter__(self) -> SignalWatch:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._restore()
        if self.received is not None and isinstance(error, KeyboardInterrupt):
            raise StoppedAtOnce from error

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.received = signal.Signals(number).name
        self._restore()
        if self._tells:
            _tell(self.received)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}


def _tell(name: str) -> None:
    """Say what will happen; unbuffered, since the signal may have struck within another write."""
    bar = os.isatty(_STANDARD_ERROR)  # a terminal's line is taken
    told = f"{name} received: {WHAT_FOLLOWS}\n"
    with contextlib.suppress(OSError):
        os.write(_STANDARD_ERROR, (f"\n{told}" if bar else told).encode())
