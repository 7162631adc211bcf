"""SIGINT and SIGTERM as a wish to stop after the step at hand."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, ClassVar

from bertmod.engine.parallel import Ranks
from bertmod.errors import BertmodError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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


class SignalWatch:
    """Within the block, the first signal only sets ``received``; the second one strikes at once.

    Outside the main thread signals cannot be caught, and nothing is changed.
    """

    def __init__(self) -> None:
        self.received: str | None = None
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

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.received = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}
