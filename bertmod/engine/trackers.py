"""Trackers of a run, none of which can stop it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertmod.contracts.tracker import Tracker, TrackerContext
from bertmod.errors import BertmodError
from bertmod.specs import TrackerSpec

LOG = logging.getLogger("bertmod")


def build_tracker(spec: TrackerSpec, config: Any, context: TrackerContext) -> Tracker | None:
    """A tracker; None, with a warning, if its builder fails, as where its server is out of reach.

    Args:
        spec: Its record.
        config: Its options.
        context: The run.

    Raises:
        BertmodError: If the builder refuses on purpose, as where a package is missing.
    """
    try:
        tracker: Tracker = spec.build(config, context)
    except BertmodError:
        raise
    except Exception as error:  # a third party's code: whatever it raises
        LOG.warning("tracker %s failed and is dropped: %r", spec.name, error)
        return None
    return tracker


class Trackers:
    """Passes events on to trackers; one that raises is dropped with a warning.

    Args:
        trackers: Any number of trackers.
    """

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = list(trackers)

    def resumed(self, step: int) -> None:
        """The run goes on from ``step``."""
        self._tell("resumed", step)

    def stepped(self, step: int, values: Mapping[str, Any]) -> None:
        """A step ended."""
        self._tell("stepped", step, values)

    def evaluated(self, step: int, scores: Mapping[str, float]) -> None:
        """An evaluation ended."""
        self._tell("evaluated", step, scores)

    def saved(self, step: int, path: Path) -> None:
        """A checkpoint was written."""
        self._tell("saved", step, path)

    def close(self) -> None:
        """The run ended."""
        self._tell("close")

    def _tell(self, event: str, *arguments: Any) -> None:
        for tracker in list(self._trackers):
            try:
                getattr(tracker, event)(*arguments)
            except Exception as error:  # a third party's code: whatever it raises
                self._trackers.remove(tracker)
                name = type(tracker).__name__
                LOG.warning("tracker %s failed and is dropped: %r", name, error)
