"""A folder that a command makes: there was none before, and it is whole once it appears."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from bertmod.data.durable import write_folder
from bertmod.errors import DataError


def require_new(target: Path) -> None:
    """Refuse a folder that has something in it, or that cannot be made.

    Raises:
        DataError: If it exists and is not an empty folder, or its parent does not exist.
    """
    if os.path.lexists(target) and not _is_empty(target):
        raise DataError(f"{target}: exists already; name another folder")
    if not target.absolute().parent.is_dir():
        raise DataError(f"{target}: there is no folder {target.parent}")


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which appears as ``target`` in one instant once the block ends.

    If the block raises, nothing is left behind.

    Args:
        target: The folder; new or empty.

    Raises:
        DataError: If there is something, or it cannot be written.
    """
    require_new(target)
    try:
        with write_folder(target.absolute()) as writing:
            yield writing
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not target.is_symlink() and not any(target.iterdir())
