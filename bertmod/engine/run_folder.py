"""The folder of one run: who owns it, and where things lie in it."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from bertmod.data.durable import write_file
from bertmod.errors import RunFolderError

LOG = logging.getLogger("bertmod")


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
        self._created = False
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
            self._created = not self.path.exists()
            self.path.mkdir(parents=True, exist_ok=True)
            self._acquire()
            write_file(self.path / "run.pid", f"{os.getpid()}\n")
            for folder in (self.checkpoints, self.best):
                folder.mkdir(exist_ok=True)
            self._handler = logging.FileHandler(self.path / "log.txt", encoding="utf-8")
        except OSError as error:
            self.abandon()
            raise RunFolderError(unwritable(self.path, error)) from error
        form = "%(asctime)s %(levelname)s %(message)s"
        self._handler.setFormatter(logging.Formatter(form))
        LOG.addHandler(self._handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._release()

    def abandon(self) -> None:
        """Give the folder up before anything was trained; remove it if this process made it."""
        self._release()
        if self._created:
            shutil.rmtree(self.path, ignore_errors=True)

    def _release(self) -> None:
        if self._handler is not None:
            LOG.removeHandler(self._handler)
            self._handler.close()
            self._handler = None
        if self._lock.is_locked:
            (self.path / "run.pid").unlink(missing_ok=True)
            self._lock.release()

    def check(self) -> None:
        """Refuse a folder that holds another run, or none where one is to be resumed.

        Raises:
            RunFolderError: If the folder cannot be used.
        """
        filled = self.path.is_dir() and any(
            entry.name not in {"run.lock", "run.pid"} for entry in self.path.iterdir()
        )
        if self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"{self.path}: is a file; name a folder with --output")
        if filled and not self._resume:
            raise RunFolderError(
                f"{self.path}: already holds a run\n"
                "  go on with it: --resume\n  start another: --output NEW_FOLDER"
            )
        if self._resume and not (self.path / "recipe.json").is_file():
            raise RunFolderError(f"{self.path}: no run to resume here (it has no recipe.json)")

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


def unwritable(path: Path, error: OSError) -> str:
    """Why nothing can be written there, and what to do."""
    reason = error.strerror or str(error)
    remedy = {
        errno.ENOSPC: "make room on the disk, or name a folder elsewhere with --output",
        errno.EDQUOT: "the quota is used up: make room, or name a folder elsewhere with --output",
    }.get(error.errno or 0, "name a folder that you may write to with --output")
    return f"{path}: cannot write here: {reason}\n  {remedy}"
