"""Writing a whole checkpoint, or nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from bertmod.contracts.checkpoint import CheckpointContent, CheckpointWriter
from bertmod.data.durable import write_folder
from bertmod.errors import DataError
from bertmod.model.card import CARD_FILE


def require_new(target: Path) -> None:
    """Refuse a folder that has something in it, or that cannot be made.

    Raises:
        DataError: If it exists and is not an empty folder, or its parent does not exist.
    """
    if os.path.lexists(target) and not _is_empty(target):
        raise DataError(f"{target}: exists already; name another folder")
    if not target.absolute().parent.is_dir():
        raise DataError(f"{target}: there is no folder {target.parent}")


def write_checkpoint(
    target: Path,
    content: CheckpointContent,
    writer: CheckpointWriter,
    *,
    card: Callable[[str], str],
) -> None:
    """Write a checkpoint aside and let it appear in one instant.

    Args:
        target: The folder; new or empty.
        content: What it shall hold.
        writer: Writes the format.
        card: From how to use it, as the writer says, to its README.

    Raises:
        CheckpointError: If the format cannot hold the content; nothing is left behind.
        DataError: If it cannot be written; nothing is left behind.
    """
    require_new(target)
    try:
        with write_folder(target.absolute()) as writing:
            use = writer.write(content, writing)
            (writing / CARD_FILE).write_text(card(use), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not target.is_symlink() and not any(target.iterdir())
