"""Whether a run goes on with what it was made with so far, and a record of what it was not."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bertmod.errors import DataError
from bertmod.recipe.resume import differences

LOG = logging.getLogger("bertmod")

HISTORY = "resumed_from"
"""Key of ``lock.json``: what it held before, oldest first, whenever this was something else."""

_TOLD = (
    "bertmod",
    "git_commit",
    "plugins",
    "libraries",
    "python",
    "processor",
    "processes",
    "checkpoint",
)
"""What the numbers may hang on. Data is not told but refused; a system's version is only kept."""

_MASKS = ";\n  another number of processes draws other dropout masks, too"


def resumed_lock(path: Path, lock: Mapping[str, Any]) -> dict[str, Any]:
    """The ``lock.json`` of a run that goes on; warns of what is not as it was.

    Args:
        path: The ``lock.json`` that the run has; one that cannot be read is passed over.
        lock: What it would hold if the run began now.

    Returns:
        ``lock``, and what ``path`` held before, for good.

    Raises:
        DataError: If a data file is not among those that the run began with.
    """
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        data, history = dict(before["data"].items()), list(before.pop(HISTORY, []))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return dict(lock)  # nothing to compare with
    _refuse_other_data(lock["data"], data)
    if changed := list(_changed(before, lock)):
        LOG.warning(
            "this run goes on with something else than before:\n%s\n"
            "  it may end with other last bits than without the change%s",
            "\n".join(changed),
            _MASKS if before.get("processes", lock["processes"]) != lock["processes"] else "",
        )
    if before != lock:
        history.append(before)
    return {**lock, HISTORY: history} if history else dict(lock)


def _refuse_other_data(data: Mapping[str, str], before: Mapping[str, str]) -> None:
    """Every file must be what it was; one that lay elsewhere, what any file was."""
    if changed := [
        file
        for file, found in data.items()
        if found not in ([before[file]] if file in before else before.values())
    ]:
        raise DataError(
            "not the data that the run began with:\n  "
            + "\n  ".join(changed)
            + "\n  put the files back, or start another run with --output"
        )


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """A line for each difference that is told; older versions knew fewer keys."""
    for key in _TOLD:
        if key in before:
            for path, old, new in differences(before[key], now[key], key):
                yield f"  {path}: {_shown(old)} before, {_shown(new)} now"


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)
