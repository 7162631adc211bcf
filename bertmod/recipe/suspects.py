"""Why nobody may know a checkpoint: files that look damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

CONFIGURATIONS = ("config.json", "bert_config.json", "encoder/config.json")
SMALL = 1_000_000
"""Longest JSON file that is looked into, bytes."""


def suspects(path: str) -> Iterator[str]:
    """Lines on what may be damaged at a path that no loader knows.

    Args:
        path: A file or a folder.
    """
    place = Path(path)
    if place.is_file():
        size = place.stat().st_size
        yield f"the file has {size:,} bytes; one that is damaged or cut short is not known either"
    for file in (place / name for name in CONFIGURATIONS):
        if file.is_file() and not _is_json(file):
            yield f"{file} is damaged: it is not JSON"


def _is_json(file: Path) -> bool:
    try:
        if file.stat().st_size <= SMALL:
            json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return True
