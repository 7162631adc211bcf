"""Why nobody may know a checkpoint: what is wrong with its path, its folder or its files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from bertmod.wording import counted

OWN = "encoder/config.json"
"""What a model of bertmod's own has in place of a configuration beside the weights."""

SMALL = 1_000_000
"""Longest JSON file that is looked into, bytes."""

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz")
MOST_NAMED, MOST_FOLDERS = 8, 100
HUB_NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


def unreachable(path: str) -> str:
    """Why the system does not let anyone look at a path; empty if it does, or nothing is there.

    Args:
        path: Any text.
    """
    try:
        os.stat(os.path.join(path, "."))  # of a folder, this asks whether it can be entered
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or type(error).__name__
    except ValueError as error:
        return str(error)
    return ""


def suspects(path: str, written: str) -> Iterator[str]:
    """Lines on what may be wrong with a path that no loader knows.

    Args:
        path: A file, a folder, or nothing that is there.
        written: The same as the user wrote it.
    """
    place = Path(path)
    if not os.path.lexists(place):
        yield from _other_places(written)
        return
    if place.is_file():
        size = counted(place.stat().st_size, "byte")
        yield f"the file has {size}; one that is damaged or cut short is not known either"
        if place.name.endswith(ARCHIVES):
            yield "if the archive is sound, unpack it and name the folder in it"
    folder = place if place.is_dir() else place.parent
    files = content(folder)
    for file in files:
        if file.is_symlink() and not os.path.exists(file):
            yield f"{file} is a link to {os.readlink(file)}, which is not there"
    configurations = [file for file in files if file.suffix == ".json"]
    for file in (*configurations, folder / OWN):
        if os.path.isfile(file):
            yield from _odd(file)
    if place.is_dir():
        names = ", ".join(file.name for file in files[:MOST_NAMED]) or "nothing"
        more = f" and {len(files) - MOST_NAMED} more" if len(files) > MOST_NAMED else ""
        yield f"in it: {names}{more}"


def neighbours(path: str) -> Iterator[str]:
    """Where the checkpoint may be instead: the folders in a folder, else the folder of a file.

    Args:
        path: A path that no loader knows.
    """
    place = Path(path)
    around = content(place) if place.is_dir() else [place.parent]
    folders = (str(each) for each in around if os.path.isdir(each) and not unreachable(str(each)))
    yield from islice(folders, MOST_FOLDERS)


def content(folder: Path) -> list[Path]:
    """What lies in a folder, sorted; nothing if it cannot be listed."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _other_places(written: str) -> Iterator[str]:
    """What is meant by somebody who writes no path."""
    if "://" in written:
        yield (
            "an address is not a path: download the files and name their folder, or write "
            "hf:OWNER/MODEL for a model of the Hugging Face hub"
        )
    elif HUB_NAME.fullmatch(written):
        yield f"if that is a model of the Hugging Face hub, write hf:{written}"


def _odd(file: Path) -> Iterator[str]:
    """What a configuration says that no loader here can use."""
    try:
        if file.stat().st_size > SMALL:
            return
        values: Any = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        yield f"{file} cannot be read: {error.strerror}"
        return
    except (ValueError, RecursionError):
        yield f"{file} is damaged: it is not JSON"
        return
    kind = values.get("model_type") if isinstance(values, dict) else None
    if file.name == "config.json" and kind not in (None, "bert"):
        yield f'{file} is of a "{kind}" model, which no loader here reads'
    if file.name == "adapter_config.json":
        yield (
            f"{file} is of a PEFT adapter, which is no whole model: merge it into its model "
            "(merge_and_unload), save that, and name the folder of the result"
        )
