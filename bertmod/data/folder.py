"""Finding a task's files inside a data folder, and saying what is there instead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bertmod.errors import DataError

_SHOWN = 20


def find_file(data: Path, paths: Sequence[str]) -> Path:
    """The first of some paths inside a folder that exists, or simply the first of them."""
    candidates = [data / path for path in paths]
    return next((path for path in candidates if path.is_file()), candidates[0])


def require_files(data: Path, files: Sequence[Path], *, owner: str) -> None:
    """Check that files are there.

    Args:
        data: The data folder.
        files: Files inside it, or others by absolute paths.
        owner: Who reads them, for the message: ``task "cola"``.

    Raises:
        DataError: If one is missing. The message names every missing file, says what is in the
            folder instead, and points at names that differ only in case or punctuation.
    """
    missing = [path for path in files if not path.is_file()]
    if not missing:
        return
    inside = [path for path in missing if path.is_relative_to(data)]
    if inside and not data.is_dir():
        what = "not a folder" if data.exists() else "no such data folder"
        names = ", ".join(path.relative_to(data).as_posix() for path in inside)
        raise DataError(f"{data}: {what}\n  {owner} needs in it: {names}")
    lines = [f"{path}: no such file, {owner} needs it" for path in missing]
    lines += dict.fromkeys(line for path in missing for line in _instead(data, path))
    lines += [
        f"{data / path.name} is there: a path in a recipe is relative to the recipe's own folder"
        for path in missing
        if path not in inside and (data / path.name).is_file()
    ]
    raise DataError("\n  ".join(lines))


def _instead(data: Path, missing: Path) -> list[str]:
    """What the last existing folder on the way to a missing file holds."""
    start = data if missing.is_relative_to(data) else Path(missing.anchor)
    folder = start
    for part in missing.relative_to(start).parts:
        if (folder / part).is_dir():
            folder = folder / part
            continue
        names = sorted(path.name for path in folder.iterdir())
        lines = [f"{folder} holds: {_listed(names)}"]
        alike = [name for name in names if _plain(name) == _plain(part) and name != part]
        if alike:
            lines.append(f'rename "{alike[0]}" to "{part}" if it is the one')
        return lines
    return [f"{missing} is a folder"]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "nothing") + more


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
