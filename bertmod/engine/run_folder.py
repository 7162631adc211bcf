"""The folder of one run: who owns it, and where things lie in it."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import shutil
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from bertmod.data.durable import WRITING, write_file
from bertmod.errors import RunFolderError, TrainingError

LOG = logging.getLogger("bertmod")

RECIPE_FILE, LOCK_FILE = "recipe.json", "lock.json"
"""What a run is made of: its resolved recipe; versions, data files and the like."""

_SET_UP = {"run.lock", "run.pid", "log.txt", LOCK_FILE, "checkpoints", "best"}


class _LogFile(logging.FileHandler):
    """A log that a full disk silences instead of filling the terminal with tracebacks."""

    def handleError(self, record: logging.LogRecord) -> None:
        del record

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


class RunFolder:
    """A run folder owned by this process while the ``with`` block lasts.

    Ownership is an operating-system lock on ``run.lock``, which ends with its process however that
    dies; ``run.pid`` names the owner for whoever is refused.

    Args:
        path: The folder.
        resume: Whether it must hold a run already; else it must be new or empty.
    """

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        self.path, self._resume = path, resume
        self._made: list[Path] = []
        self._found: set[str] = set()
        self._lock = FileLock(path / "run.lock")
        self._handler: logging.Handler | None = None

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints lie."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """Where the best states lie."""
        return self.path / "best"

    @property
    def final(self) -> Path:
        """Where the last state lies."""
        return self.path / "final"

    @property
    def predictions(self) -> Path:
        """Where predictions lie."""
        return self.path / "predictions"

    def __enter__(self) -> RunFolder:
        self.check()
        try:
            self._made = [path for path in (self.path, *self.path.parents) if not path.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            self._found = {entry.name for entry in self.path.iterdir()}
            self._acquire()
            write_file(self.path / "run.pid", f"{os.getpid()}\n")
            for folder in (self.checkpoints, self.best):
                folder.mkdir(exist_ok=True)
            self._handler = _LogFile(self.path / "log.txt", encoding="utf-8")
        except OSError as error:
            self.abandon()
            raise RunFolderError(unwritable(self.path, error)) from error
        form = "%(asctime)s %(levelname)s %(message)s"
        self._handler.setFormatter(logging.Formatter(form))
        LOG.addHandler(self._handler)
        if LOG.level == logging.NOTSET:
            LOG.setLevel(logging.INFO)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()

    def abandon(self) -> None:
        """Give the folder up before anything was trained, and leave the place as it was."""
        if self._lock.is_locked and not self._resume:
            for entry in self.path.iterdir():
                if entry.name not in self._found:
                    _remove(entry)
        with contextlib.suppress(OSError):  # somebody else put something there meanwhile
            for folder in self._made:
                folder.rmdir()
        self._release()

    def _release(self) -> None:
        if self._handler is not None:
            LOG.removeHandler(self._handler)
            self._handler.close()
            self._handler = None
        if self._lock.is_locked:
            with contextlib.suppress(OSError):  # what stopped the run is told, not that this fails
                (self.path / "run.pid").unlink(missing_ok=True)
            self._lock.release()

    def check(self) -> None:
        """Refuse a folder that holds another run, or none where one is to be resumed.

        Raises:
            RunFolderError: If the folder cannot be used.
        """
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"{self.path}: is a file; name a folder with --output")
        try:
            filled = self.path.is_dir() and any(map(_holds_something, self.path.iterdir()))
        except OSError as error:
            raise RunFolderError(unwritable(self.path, error)) from error
        if filled and not self._resume:
            raise RunFolderError(
                f"{self.path}: already holds a run\n"
                "  go on with it: --resume\n  start another: --output NEW_FOLDER"
            )
        if self._resume and not (self.path / RECIPE_FILE).is_file():
            raise RunFolderError(f"{self.path}: no run to resume here (it has no {RECIPE_FILE})")

    def _acquire(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            owner = self.path / "run.pid"
            pid = owner.read_text(encoding="utf-8").strip() if owner.exists() else "unknown"
            raise RunFolderError(
                f"{self.path}: in use by another run (process {pid})\n"
                "  wait for it, stop it, or name another folder with --output"
            ) from error


def _holds_something(entry: Path) -> bool:
    """Whether an entry is more than what a run killed before it began leaves behind."""
    if entry.name.startswith(WRITING):
        return False
    return entry.name not in _SET_UP or (entry.is_dir() and any(entry.iterdir()))


def _remove(entry: Path) -> None:
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        entry.unlink(missing_ok=True)


def unwritable(path: Path, error: OSError) -> str:
    """Why nothing can be written there, and what to do."""
    reason = error.strerror or str(error)
    remedy = {
        errno.ENOSPC: "make room on the disk, or name a folder elsewhere with --output",
        errno.EDQUOT: "the quota is used up: make room, or name a folder elsewhere with --output",
    }.get(error.errno or 0, "name a folder that you may write to with --output")
    return f"{path}: cannot write here: {reason}\n  {remedy}"


def unwritten(path: Path, error: OSError, *, step: int) -> TrainingError:
    """The error of a run that could not write, after a number of steps."""
    return TrainingError(
        f"{unwritable(path, error)}\n"
        f"  stopped after step {step}; earlier checkpoints are intact: go on with --resume"
    )
