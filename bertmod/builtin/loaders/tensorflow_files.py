"""Where the files of a TensorFlow checkpoint lie."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bertmod import CheckpointError
from bertmod.builtin.loaders.archive import is_archive, members, unpacked
from bertmod.builtin.loaders.tensorflow_index import is_table

INDEX = ".index"
DATA = re.compile(r"(.+)\.data-\d{5}-of-\d{5}")
STATE = "checkpoint"
"""The file in which TensorFlow's savers note the newest checkpoint of a folder."""

PATTERN = frozenset("[\\")
"""Characters that TensorFlow does not take for themselves in a path."""

VARIABLES = "variables"
"""In a SavedModel, the folder of the checkpoint and its prefix within."""


@dataclass(frozen=True)
class Found:
    """A checkpoint and what lies beside it.

    Attributes:
        prefix: What the names of its files begin with; no file has that name alone, except in
            TensorFlow's first format.
        config: Its ``bert_config.json``, or None.
        vocab: Its ``vocab.txt``, or None.
    """

    prefix: Path
    config: Path | None
    vocab: Path | None

    @property
    def index(self) -> Path:
        """Its ``.index`` file."""
        return self.prefix.with_name(self.prefix.name + INDEX)

    @property
    def first_format(self) -> bool:
        """Whether it is a single file, as TensorFlow wrote them at first."""
        return is_table(self.prefix)

    @property
    def saved_model(self) -> bool:
        """Whether it is the checkpoint in a SavedModel, which TF-Hub's modules are too."""
        return _is_saved_model(self.prefix)


def claim(path: Path) -> str | None:
    """Why a path is a TensorFlow checkpoint, or None; nothing is unpacked."""
    if is_archive(path):
        inside = [name for name in members(path) if _prefix_name(name)]
        return f"{inside[0]} of a TensorFlow checkpoint in it" if inside else None
    prefixes = _prefixes(path)
    if not prefixes:
        return None
    prefix = prefixes[0] if len(prefixes) == 1 else _noted(prefixes)
    if prefix not in prefixes:
        return f"{len(prefixes)} TensorFlow checkpoints"
    if is_table(prefix):
        return "a TensorFlow checkpoint in a single file"
    files = sorted(file.name for file in _files(prefix))
    return f"{files[-1]} of a TensorFlow checkpoint"


def locate(path: str) -> Found:
    """The one checkpoint that a path means.

    Args:
        path: Prefix, ``.index`` or ``.data`` file, folder, SavedModel, or an archive of these.

    Raises:
        CheckpointError: If there is none, or more than one, or TensorFlow cannot read the path.
    """
    place = Path(path)
    if is_archive(place):
        place = unpacked(place)
    prefixes = _prefixes(place)
    if not prefixes:
        raise CheckpointError(
            f"{path}: no TensorFlow checkpoint there\n"
            "  accepted: its prefix (bert_model.ckpt), one of its files, its folder, or a zip of it"
        )
    prefix = prefixes[0] if len(prefixes) == 1 else _newest(prefixes)
    if PATTERN.intersection(str(prefix)):
        raise CheckpointError(
            f"{prefix}: TensorFlow takes a path with [ or \\ in it for a pattern\n"
            "  rename the folder, or name a link to it"
        )
    root = prefix.parent.parent if _is_saved_model(prefix) else prefix.parent
    return Found(prefix, _beside(root, "bert_config.json"), _beside(root, "vocab.txt"))


def _prefixes(path: Path) -> list[Path]:
    """The checkpoints that a path may mean."""
    if path.is_dir():
        return _inside(path) or _inside(path / VARIABLES)
    if is_table(path) and path.suffix != INDEX:
        return [path]
    prefix = path.with_name(_prefix_name(path.name) or path.name)
    return [prefix] if _files(prefix) else []


def _inside(folder: Path) -> list[Path]:
    """The checkpoints in a folder; an ``.index`` alone must also look like one."""
    files = [file for file in folder.glob("*") if not file.name.startswith(".")]
    found = {
        folder / name
        for file in files
        if (name := _prefix_name(file.name)) and (DATA.fullmatch(file.name) or is_table(file))
    }
    return sorted(found)


def _prefix_name(file: str) -> str | None:
    """The prefix in the name of a file of a checkpoint, or None; it may lie in a SavedModel."""
    if match := DATA.fullmatch(file):
        prefix = match[1]
    elif file.endswith(INDEX) and file != INDEX:
        prefix = file.removesuffix(INDEX)
    else:
        return None
    return prefix if "/" not in prefix or prefix == f"{VARIABLES}/{VARIABLES}" else None


def _files(prefix: Path) -> list[Path]:
    """The files of a checkpoint that are there."""
    try:
        beside: Iterable[Path] = list(prefix.parent.iterdir())
    except OSError:
        return []
    return [file for file in beside if _prefix_name(file.name) == prefix.name and file.is_file()]


def _newest(prefixes: list[Path]) -> Path:
    noted = _noted(prefixes)
    if noted in prefixes:
        return noted
    names = ", ".join(prefix.name for prefix in prefixes)
    why = f'\n  the file "{STATE}" names {noted.name}, which is not there' if noted else ""
    raise CheckpointError(
        f"{prefixes[0].parent}: {len(prefixes)} checkpoints there: {names}{why}\n"
        f"  name one of them, for example {prefixes[-1]}"
    )


def _noted(prefixes: list[Path]) -> Path | None:
    """The one that TensorFlow's own note names, by the last part of its path alone."""
    folder = prefixes[0].parent
    try:
        text = (folder / STATE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    match = re.search(r'^model_checkpoint_path:\s*"(?:.*[/\\])?([^/\\"]+)"', text, re.MULTILINE)
    return folder / match[1] if match else None


def _is_saved_model(prefix: Path) -> bool:
    return prefix.name == prefix.parent.name == VARIABLES


def _beside(root: Path, name: str) -> Path | None:
    places = (root / name, root / "assets" / name)
    return next((file for file in places if file.is_file()), None)
