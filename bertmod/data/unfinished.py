"""Output that takes long to write: kept aside until it is whole, so that it can be gone on with."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bertmod.data.durable import WRITING, remove_folder, sync_folder, write_file
from bertmod.data.tables import check_output_file
from bertmod.errors import BertmodError, DataError, TrainingError
from bertmod.wording import shown

BEGUN_FILE, LOCK_FILE = ".begun.json", ".lock"
OWN_FILES = frozenset({BEGUN_FILE, f"{WRITING}{BEGUN_FILE}", LOCK_FILE})
"""What a kill may leave behind before there is any output."""


class Unfinished:
    """The folder ``OUT.partial``, in which output is written until it takes the place of OUT.

    Args:
        out: Where the output will be; it must not exist.
        resume: Whether to go on with what is there already.
        keep: Whether what was written is kept when writing fails, to be gone on with.

    Raises:
        DataError: If OUT exists, cannot be made, there is something unfinished that was not asked
            for, something else in its place, or nothing to go on with.
    """

    def __init__(self, out: Path, *, resume: bool, keep: bool = True) -> None:
        self.out, self.folder = out, partial_folder(out)
        self.resume, self.keep = resume, keep
        if out.exists():
            raise DataError(f"{out}: exists already; name another, or remove it")
        check_output_file(out)
        begun = (self.folder / BEGUN_FILE).is_file()
        if begun and not resume:
            go_on = "  go on with it: --resume\n" if keep else ""
            raise DataError(
                f"{self.folder}: unfinished output\n{go_on}  start again: remove the folder"
            )
        if resume and not begun:
            raise DataError(f"{self.folder}: nothing to go on with; leave --resume out to start")
        if not begun and _is_foreign(self.folder):
            raise DataError(
                f"{self.folder}: is there already, and output would grow there\n"
                "  move it, or name another output"
            )

    @contextmanager
    def opened(self, asked: Mapping[str, Any], *, free: frozenset[str]) -> Iterator[Path]:
        """The folder to write into, owned by this process while the block lasts.

        If the block raises before there is any output, or that is not kept, nothing is left
        behind.

        Args:
            asked: What the output is a function of, JSON values.
            free: Keys of ``asked`` that may differ from what was asked when it was begun.

        Raises:
            DataError: If another process writes there, it was begun for something else, or nothing
                can be written there.
            TrainingError: If nothing can be written there any more.
        """
        lock = FileLock(self.folder / LOCK_FILE)
        try:
            self.folder.mkdir(exist_ok=True)
            lock.acquire(timeout=0)
            try:
                self._begin(asked, free)
                yield self.folder
            except BaseException:
                self._tidy()
                raise
            finally:
                lock.release()
        except Timeout:
            raise DataError(f"{self.folder}: another process writes there") from None
        except OSError as error:
            raise self._unwritable(error) from error

    def finish(self, inside: str = "") -> None:
        """Let the output take its place.

        Args:
            inside: The file in the folder that is the output; empty: the folder itself is.

        Raises:
            OSError: If it cannot be renamed.
        """
        if self.out.exists():
            raise DataError(f"{self.out}: came into being meanwhile; the output is {self.folder}")
        if inside:
            (self.folder / inside).rename(self.out)
            remove_folder(self.folder)
        else:
            self.folder.rename(self.out)
            for name in (BEGUN_FILE, LOCK_FILE):
                (self.out / name).unlink(missing_ok=True)
        sync_folder(self.out.absolute().parent)

    def _begin(self, asked: Mapping[str, Any], free: frozenset[str]) -> None:
        path = self.folder / BEGUN_FILE
        if not self.resume:
            write_file(path, json.dumps(dict(asked), indent=2) + "\n")
            return
        given = json.loads(json.dumps(dict(asked)))
        begun = json.loads(path.read_text(encoding="utf-8"))
        other = [key for key in given if key not in free and given[key] != begun.get(key)]
        if other:
            lines = (
                f"  {key}: {shown(begun.get(key))} then, {shown(given[key])} now" for key in other
            )
            raise DataError(
                "\n".join(
                    [
                        f"{self.folder}: begun with other options or input than these",
                        *lines,
                        "  give what it was begun with, or remove the folder to start again",
                    ]
                )
            )

    def _tidy(self) -> None:
        """Remove the folder unless there is output in it."""
        kept = [path for path in self.folder.iterdir() if not path.name.startswith(".")]
        if not self.keep or not any(path.stat().st_size for path in kept):
            remove_folder(self.folder)

    def _unwritable(self, error: OSError) -> BertmodError:
        what = f"{self.out}: cannot be written: {error.strerror or error}"
        if (self.folder / BEGUN_FILE).is_file():
            return TrainingError(f"{what}\n  make room there; then go on with --resume")
        return DataError(f"{what}\n  name another place, or make room there")


def partial_folder(out: Path) -> Path:
    """Where output is until it is whole."""
    return out.with_name(f"{out.name}.partial")


def _is_foreign(folder: Path) -> bool:
    """Whether something is there that was not written here."""
    if folder.is_dir():
        return not OWN_FILES.issuperset(path.name for path in folder.iterdir())
    return os.path.lexists(folder)
