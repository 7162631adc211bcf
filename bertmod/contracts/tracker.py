"""What a tracker is: something that hears about a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class TrackerContext:
    """What a tracker's builder gets beside its options.

    Attributes:
        folder: The run folder.
        recipe: The resolved recipe as JSON values.
    """

    folder: Path
    recipe: Mapping[str, Any]


class Tracker(Protocol):
    """Hears about steps, evaluations and checkpoints; one that raises is dropped with a warning."""

    def resumed(self, step: int) -> None:
        """The run goes on from ``step``: rows recorded after it are to be discarded."""
        ...

    def stepped(self, step: int, values: Mapping[str, Any]) -> None:
        """An optimizer step ended; ``values`` has task, loss, learning rates and counts."""
        ...

    def evaluated(self, step: int, scores: Mapping[str, float]) -> None:
        """An evaluation ended; names are ``task/split/metric``."""
        ...

    def saved(self, step: int, path: Path) -> None:
        """A checkpoint was written."""
        ...

    def close(self) -> None:
        """The run ended, for whatever reason."""
        ...
