"""Writing a whole checkpoint, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bertmod.contracts.checkpoint import CheckpointContent, CheckpointWriter
from bertmod.data.new_folder import new_folder
from bertmod.errors import PluginError
from bertmod.model.card import CARD_FILE


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
        PluginError: If the writer makes a README of its own.
    """
    with new_folder(target) as writing:
        use = writer.write(content, writing)
        if (writing / CARD_FILE).exists():
            raise PluginError(f"{writer.format}: its writer makes {CARD_FILE}, as bertmod does")
        (writing / CARD_FILE).write_text(card(use), encoding="utf-8")
