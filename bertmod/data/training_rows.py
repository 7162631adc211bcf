"""What a task trains on: rows of any number, of which only those of a batch are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from bertmod.data.features import FeatureTable


class TrainingRows(Protocol):
    """Features that are trained on; a ``FeatureTable`` is some.

    Attributes:
        lengths: Tokens of each feature, (features,), any integer dtype.
        num_truncated: Features from whose rows pieces were cut; None if unknown.
    """

    @property
    def lengths(self) -> np.ndarray: ...
    @property
    def num_truncated(self) -> int | None: ...

    def __len__(self) -> int: ...

    def in_pass(self, number: int) -> TrainingRows:
        """The same features as they are in a pass: what is drawn at random may differ.

        Args:
            number: How many passes over them were made before; what it gives depends on this
                alone, in every process and after a resume.
        """
        ...

    def take(self, indices: np.ndarray) -> FeatureTable:
        """These features, in this order, in memory.

        Args:
            indices: Which, (wanted,), int64, in ``[0, features)``.
        """
        ...


@dataclass(frozen=True)
class Phase:
    """What a task trains on during a part of a run.

    Attributes:
        rows: The features.
        share: Share of the run's steps, in (0, 1].
        about: What is known of them beside their number, a line each, for who plans a run.
    """

    rows: TrainingRows
    share: float = 1.0
    about: Sequence[str] = ()


@runtime_checkable
class PhasedTask(Protocol):
    """What a ``Task`` may have beside its other methods: it keeps its training features itself.

    Without this method all training examples are read, made into features and cached.
    """

    def phases(self, seed: int) -> Sequence[Phase]:
        """What it trains on, one phase after another; the shares sum to 1.

        Args:
            seed: The run's seed.

        Raises:
            DataError: If its data cannot be read.
        """
        ...
