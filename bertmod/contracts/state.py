"""What has a state that a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Stateful(Protocol):
    """Anything whose state a resumed run needs back, exactly."""

    def state_dict(self) -> Mapping[str, Any]:
        """JSON values and tensors that describe the state in full."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take a state back. Missing and left-over keys are refused with ``CheckpointError``."""
        ...
