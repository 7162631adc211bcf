"""What a person sees while a run goes on."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from typing import TextIO

from tqdm import tqdm

from bertmod.engine.step import StepResult

LOG = logging.getLogger("bertmod")
_SMOOTHING = 0.98
_LINE_SECONDS = 10.0


class Progress:
    """A bar with epoch, steps, examples per second and the loss of each task.

    Where the output is not a terminal it writes plain lines; where ``quiet``, nothing.

    Args:
        total: Length of the run in steps.
        steps_per_epoch: Steps in an epoch.
        quiet: Whether to show nothing.
        stream: Where to show it; None means standard error.
    """

    def __init__(
        self, total: int, steps_per_epoch: int, *, quiet: bool = False, stream: TextIO | None = None
    ) -> None:
        self._stream = stream or sys.stderr
        self._total, self._steps_per_epoch = total, steps_per_epoch
        self._plain = not quiet and not self._stream.isatty()
        self._bar = tqdm(
            total=total,
            unit="step",
            file=self._stream,
            disable=quiet or self._plain,
            dynamic_ncols=True,
        )
        self._losses: dict[str, float] = {}
        self._scale = ""
        self._examples, self._first, self._began = 0, 0, time.monotonic()
        self._lined = self._began

    def start(self, step: int) -> None:
        """The run begins, or goes on, at ``step``."""
        self._bar.update(step - self._bar.n)
        self._first, self._began = step, time.monotonic()

    def stepped(self, step: int, task: str, result: StepResult) -> None:
        """A step ended."""
        previous = self._losses.get(task, result.loss)
        self._losses[task] = _SMOOTHING * previous + (1 - _SMOOTHING) * result.loss
        self._scale = "" if result.loss_scale is None else f", loss scale {result.loss_scale:g}"
        self._examples += result.features
        self._bar.set_description(self._epoch(step), refresh=False)
        shown = f"{self._rate():.0f} ex/s {_losses(self._losses)}{self._scale}"
        self._bar.set_postfix_str(shown, refresh=False)
        self._bar.update()
        now = time.monotonic()
        if self._plain and (now - self._lined >= _LINE_SECONDS or step == self._total):
            self._lined = now
            left = (now - self._began) / max(step - self._first, 1) * (self._total - step)
            self._stream.write(
                f"{self._epoch(step)}, step {step}/{self._total}, {self._rate():.0f} examples/s, "
                f"{left:.0f} s left, loss {_losses(self._losses)}{self._scale}\n"
            )
            self._stream.flush()

    def say(self, line: str) -> None:
        """A line of its own, above the bar, and in the log."""
        LOG.info("%s", line)
        if self._plain:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        elif not self._bar.disable:
            self._bar.write(line, file=self._stream)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._bar.close()

    def _epoch(self, step: int) -> str:
        epochs = -(-self._total // self._steps_per_epoch)
        return f"epoch {min(max(step - 1, 0) // self._steps_per_epoch + 1, epochs)}/{epochs}"

    def _rate(self) -> float:
        return self._examples / max(time.monotonic() - self._began, 1e-9)


def _losses(losses: Mapping[str, float]) -> str:
    return " ".join(f"{task} {loss:.3f}" for task, loss in losses.items())
