"""Generating the sample once, also when several processes ask at the same time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bertmod.sample import SAMPLE_VERSION, folder, sample_folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replaces the generation by one small file; gives the folders that were generated."""
    generated: list[Path] = []

    def write(target: Path) -> None:
        generated.append(target)
        (target / "README.txt").write_text("sample")

    monkeypatch.setattr(folder, "write_sample", write)
    return generated


def test_generates_once(tmp_path: Path, quick: list[Path]) -> None:
    cache = tmp_path / "new" / "cache"
    first = sample_folder(cache)
    assert first == cache / f"sample-{SAMPLE_VERSION}" == sample_folder(cache)
    assert (first / "README.txt").read_text() == "sample"
    assert len(quick) == 1
    assert list(cache.iterdir()) == [first]


def test_others_may_read_the_folder(tmp_path: Path, quick: list[Path]) -> None:
    mode = sample_folder(tmp_path).stat().st_mode & 0o777
    assert quick
    assert mode == 0o755 or os.name == "nt"


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(folder, "write_sample", fail)
    with pytest.raises(OSError, match="disk full"):
        sample_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lost_race_uses_the_winner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    winner = tmp_path / f"sample-{SAMPLE_VERSION}"

    def write(target: Path) -> None:
        (target / "README.txt").write_text("loser")
        winner.mkdir()
        (winner / "README.txt").write_text("winner")

    monkeypatch.setattr(folder, "write_sample", write)
    assert (sample_folder(tmp_path) / "README.txt").read_text() == "winner"
    assert list(tmp_path.iterdir()) == [winner]


def test_processes_may_start_together(tmp_path: Path, sample: Path) -> None:
    code = "import sys, pathlib, bertmod.sample as s; s.sample_folder(pathlib.Path(sys.argv[1]))"
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    (only,) = tmp_path.iterdir()
    for path in (*sample.rglob("*.tsv"), sample / "vocab.txt"):
        assert (only / path.relative_to(sample)).read_bytes() == path.read_bytes()
