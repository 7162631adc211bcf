"""The program in forked processes, and what it leaves in a run folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a run of the program ended.

    Attributes:
        status: Exit status; negative: the signal that killed it.
        out: What it wrote on standard output.
        err: What it wrote on standard error.
        others: The statuses of the processes beside the first.
        others_err: What they wrote on standard error.
    """

    status: int
    out: str
    err: str
    others: tuple[int, ...] = ()
    others_err: tuple[str, ...] = ()


class Program:
    """Runs the program in children of one process that has imported everything."""

    def __init__(self, folder: Path, plugins: Path) -> None:
        environment = {
            **os.environ,
            "XDG_CACHE_HOME": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(plugins), str(ROOT)]),
        }
        environment.pop("BERTMOD_PLUGINS", None)
        self.environment = environment
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forking_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __call__(
        self,
        *words: str | Path,
        kill_at: int | None = None,
        instead: str | None = None,
        kill_at_backward: int | None = None,
        kill_after: float | None = None,
        term_at_step: int | None = None,
        signal: str = "SIGTERM",
        room: tuple[int, int] | None = None,
        processes: int = 1,
        struck_rank: int = 0,
        more_words: dict[int, list[str]] | None = None,
        unlike: Sequence[str] = (),
    ) -> Ended:
        """Run ``bertmod`` with these words to its end.

        Args:
            words: The command line.
            kill_at: Kill it before its n-th change of a file in the folder of ``--output``; 0
                kills nothing and counts for ``changes`` and ``backward_passes``.
            instead: What happens at ``kill_at`` instead: ``full disk`` fills the folder's; else the
                name of a folder in it, which becomes read-only.
            kill_at_backward: Kill it before its n-th backward pass.
            kill_after: Kill it so many seconds after training began.
            term_at_step: Send it ``signal`` within this step.
            signal: Name of that signal.
            room: From this step on it gets no more than so many MiB beyond what it has.
            processes: How many processes make the run together.
            struck_rank: Which of them is killed, gets the signal or lacks memory.
            more_words: Words that some of them are given beside the others.
            unlike: Names of what is otherwise than a user can have it here: ``UNLIKE`` of
                ``forking_server.py``.
        """
        request = {
            "words": [str(word) for word in words],
            "folder": str(self._folder),
            "kill_at": kill_at,
            "instead": instead,
            "kill_at_backward": kill_at_backward,
            "kill_after": kill_after,
            "term_at_step": term_at_step,
            "signal": signal,
            "room": room,
            "processes": processes,
            "struck_rank": struck_rank,
            "more_words": more_words or {},
            "unlike": list(unlike),
        }
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        status, *others = answer["statuses"]
        out, err = ((self._folder / name).read_text() for name in ("out.txt", "err.txt"))
        errs = [(self._folder / f"err-{rank}.txt").read_text() for rank in range(1, processes)]
        return Ended(status, out, err, tuple(others), tuple(errs))

    @property
    def changes(self) -> int:
        """Changes of files in the newest run with ``kill_at=0``."""
        return self._counts()[0]

    @property
    def backward_passes(self) -> int:
        """Backward passes of the newest run with ``kill_at=0``."""
        return self._counts()[1]

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=30)

    def _counts(self) -> list[int]:
        found: list[int] = json.loads((self._folder / "counts.json").read_text())
        return found


class RunFiles:
    """What lies in a run folder, and whether two runs are the same."""

    @staticmethod
    def content(folder: Path) -> dict[str, bytes]:
        """Every file of a folder by its path in it."""
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    @staticmethod
    def rows(run: Path, *events: str) -> list[dict[str, Any]]:
        """What the run recorded of these events."""
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        found = [json.loads(line) for line in lines]
        return [row for row in found if row["event"] in events]

    @classmethod
    def assert_same(cls, run: Path, whole: Path) -> None:
        """Weights, optimizer state, counters, bests, rows, scores and predictions, bit for bit."""
        newest = max(path.name for path in (whole / "checkpoints").iterdir())
        for part in ("final", "best", "predictions", f"checkpoints/{newest}"):
            ours, theirs = cls.content(run / part), cls.content(whole / part)
            assert ours.keys() == theirs.keys(), part
            assert [name for name in ours if ours[name] != theirs[name]] == [], part
        assert cls.rows(run, "step", "evaluation") == cls.rows(whole, "step", "evaluation")
        assert (run / "recipe.json").read_bytes() == (whole / "recipe.json").read_bytes()
        left_over = [path for path in run.rglob(".*") if path.name.startswith((".writing", ".old"))]
        assert left_over == []
        assert not (run / "run.pid").exists()
