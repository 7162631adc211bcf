"""What the library says while a command runs, on the terminal."""

from __future__ import annotations

import logging
import sys


class _Terminal(logging.Handler):
    """Writes to whatever standard error is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def show_warnings() -> None:
    """Let the library's warnings reach the terminal; the rest goes to a run's log."""
    logger = logging.getLogger("bertmod")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Terminal) for handler in logger.handlers):
        handler = _Terminal(logging.WARNING)
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        logger.addHandler(handler)
