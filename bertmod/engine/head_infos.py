"""What heads know of their tasks, as a part of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from bertmod.errors import CheckpointError
from bertmod.model.multitask import MultiTaskModel


class HeadInfos:
    """The calibrations of all heads, as a state."""

    def __init__(self, model: MultiTaskModel) -> None:
        self._model = model

    def state_dict(self) -> dict[str, Any]:
        """Each task's label names, value range and calibration."""
        return {task: asdict(self._model.head(task).info) for task in self._model.tasks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the calibrations back; label names must be the run's own.

        Raises:
            CheckpointError: If tasks or label names differ.
        """
        for task in self._model.tasks:
            head, saved = self._model.head(task), state.get(task)
            labels = None if saved is None else saved["labels"]
            known = head.info.labels
            if saved is None or (known and list(known)) != labels:
                raise CheckpointError(
                    f"task {task}: the checkpoint's labels are {labels}, the data's {known}"
                )
            head.info = replace(head.info, calibration=saved["calibration"])
