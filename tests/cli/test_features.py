"""``bertmod features`` as a user types it: Google's lines, kills, bad input."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

NUMBER = re.compile(r"-?\d+\.\d+(e-\d+)?")
SMALL = ("--layers", "-1", "--batch-size", "2")


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """So many lines that a run is not over before a test stops it; pairs and empty ones too."""
    path = tmp_path / "lines.txt"
    texts = (f"{'The cat sat . ' * (n % 5)}{'the mat ||| 7' if n % 3 else ''}" for n in range(3000))
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


@pytest.fixture
def started(tmp_path, env) -> Callable[..., subprocess.Popen[str]]:
    """Starts the program and comes back once a file has so many bytes."""

    def start(watched: str, *words: str | Path, size: int = 1) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "bertmod", *map(str, words)],
            cwd=tmp_path,
            env=dict(env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        path, deadline = tmp_path / watched, time.monotonic() + 120
        while not (path.exists() and path.stat().st_size >= size):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        return process

    return start


@pytest.mark.shared
@pytest.mark.parametrize(
    ("wanted", "words"),
    [("output.jsonl", ("--hidden-act", "gelu_tanh")), ("output_erf.jsonl", ())],
)
def test_googles_own_output(here, golden, tmp_path, wanted, words) -> None:
    case = golden / "09_extract_features"
    checkpoint = golden / "04_tf_bert" / "bert_model.ckpt"
    given = (checkpoint, case / "input.txt", "out.jsonl", "--layers", "-1,-2", "--max-length", "24")
    result = here("features", *given, *words)
    assert result.returncode == 0, result.stderr
    assert "read as tensorflow" in result.stderr
    assert result.stderr.endswith("\nout.jsonl: features of 4 lines\n")
    ours = (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    theirs = (case / wanted).read_text(encoding="utf-8")
    assert NUMBER.sub("#", ours) == NUMBER.sub("#", theirs)
    values = [
        np.array([float(match.group()) for match in NUMBER.finditer(text)])
        for text in (ours, theirs)
    ]
    assert len(values[0]) == 1872
    assert np.abs(values[0] - values[1]).max() < 1.5e-6  # one unit of the last digit


def test_interrupted_killed_and_gone_on_with(
    bertmod, here, started, trained, lines, tmp_path
) -> None:
    """Ctrl-C, then SIGKILL: the end is that of a run that nobody disturbed."""
    words = ("features", trained, lines, "out.jsonl", *SMALL)
    watched = "out.jsonl.partial/features.jsonl"
    process = started(watched, *words, size=20_000)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.endswith("\nstopped; go on with --resume\ninterrupted\n")
    assert not (tmp_path / "out.jsonl").exists()
    refused = here(*words)
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: out.jsonl.partial: unfinished output\n"
        "  go on with it: --resume\n  start again: remove the folder\n"
    )
    other = here(*words, "--max-length", "20", "--resume")
    assert other.returncode == 2
    assert "\n  max_length: 64 then, 20 now\n" in other.stderr
    written = (tmp_path / watched).stat().st_size
    kill(started(watched, *words, "--resume", size=written + 20_000))
    assert not (tmp_path / "out.jsonl").exists()
    assert bertmod(*words, "--resume").returncode == 0
    assert bertmod("features", trained, lines, "whole", *SMALL).returncode == 0
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole").read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_shards_killed_and_gone_on_with(bertmod, started, trained, lines, tmp_path) -> None:
    words = (*SMALL, "--format", "safetensors", "--shard-lines", "50", "--mean")
    kill(
        started("out.partial/features-00003.safetensors", "features", trained, lines, "out", *words)
    )
    assert not (tmp_path / "out").exists()
    resumed = bertmod("features", trained, lines, "out", *words, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert bertmod("features", trained, lines, "whole", *words).returncode == 0
    assert fingerprints(tmp_path / "out") == fingerprints(tmp_path / "whole")
    assert not list(tmp_path.glob("*.partial"))


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def fingerprints(path: Path) -> dict[str, bytes]:
    """Content of a file, or of the files of a folder, by name."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def test_a_task_and_vectors(here, trained, tmp_path) -> None:
    (tmp_path / "in.txt").write_text("The cat sat.\n\nThe mat ||| the cat\n")
    plain = here("features", trained, "in.txt", "plain", "--format", "npz", "--layers", "all")
    assert plain.returncode == 0, plain.stderr
    task = here(
        "features", trained, "in.txt", "task", "--format", "safetensors", "--task", "cola",
        "--layers", "0,-1", "--pooled", "--dtype", "float16",
    )  # fmt: skip
    assert task.returncode == 0, task.stderr
    assert "adapters.cola." in plain.stderr
    assert "adapters.cola." not in task.stderr
    one = np.load(tmp_path / "plain" / "features-00000.npz")
    two = load_file(tmp_path / "task" / "features-00000.safetensors")
    assert {"layer_0", "layer_1", "layer_2"} <= set(one)
    assert one["layer_2"].dtype == np.float32
    assert two["layer_-1"].dtype == two["pooled"].dtype == np.float16
    assert two["pooled"].shape == (3, 32)
    np.testing.assert_allclose(one["layer_0"], two["layer_0"], atol=2e-3)
    assert np.abs(one["layer_2"] - two["layer_-1"]).max() > 1e-3  # PALs act
    manifest = json.loads((tmp_path / "task" / "features.json").read_text())
    assert (manifest["task"], manifest["layers"], manifest["rows"]) == ("cola", [0, -1], 3)


@pytest.fixture
def typed(monkeypatch) -> Callable[[bytes], None]:
    """Gives the program bytes to read from standard input."""

    def give(content: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    return give


def test_standard_input(trained, env, tmp_path) -> None:
    words = ("features", trained, "-", "out.jsonl", "--layers", "none", "--mean")
    command = [sys.executable, "-m", "bertmod", *map(str, words)]
    given = b"The cat.\r\n\r\nThe mat."
    subprocess.run(command, input=given, check=True, cwd=tmp_path, env=dict(env))
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["linex_index"] for row in rows] == [0, 1, 2]
    assert all(list(row) == ["linex_index", "mean"] and len(row["mean"]) == 32 for row in rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\ncaf\xe9\n", "error: standard input, line 2, byte 4 of the line: not UTF-8 (0xe9)"),
        (b"", "error: standard input: has no lines\n"),
    ],
)
def test_bad_standard_input(here, typed, trained, tmp_path, content, message) -> None:
    typed(content)
    result = here("features", trained, "-", "out.jsonl", *SMALL)
    assert result.returncode == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_standard_input_is_read_once(here, typed, trained) -> None:
    typed(b"The cat.\n")
    result = here("features", trained, "-", "out.jsonl", *SMALL, "--resume")
    assert result.returncode == 2
    assert result.stderr == ("error: --resume: standard input cannot be read again; name a file\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nothing.txt", "out"), "nothing.txt: cannot be read: No such file or directory"),
        (("empty.txt", "out"), "empty.txt: has no lines"),
        (("latin.txt", "out"), "latin.txt, line 2, byte 4 of the line: not UTF-8 (0xe9)\n"
         "  save the file as UTF-8"),
        (("in.txt", "none/out"), "none/out: there is no folder none"),
        (("in.txt", "in.txt"), "in.txt: exists already; name another, or remove it"),
        (("in.txt", "mine"),
         "mine.partial: is there already, and output would grow there\n"
         "  move it, or name another output"),
        (("in.txt", "out", "--resume"),
         "out.partial: nothing to go on with; leave --resume out to start"),
        (("in.txt", "out", "--layers", "3,-1"),
         "no layer 3\n  the encoder has 2 layers; accepted: -1 (the last) to -2 (the first), or 0 "
         "(the embeddings), 1 (the first layer) to 2 (the last)"),
        (("in.txt", "out", "--layers", "last"),
         "--layers last: numbers with commas between them, such as -1,-2, or all, or none"),
        (("in.txt", "out", "--layers", "none"),
         "--layers none leaves nothing to write: give --pooled or --mean"),
        (("in.txt", "out", "--layers", "none", "--mean", "--words"),
         "--layers none: there are no tokens for --words to go with"),
        (("in.txt", "out", "--dtype", "float16"),
         "--dtype is for --format safetensors and npz"),
        (("in.txt", "out", "--shard-lines", "9"),
         "--shard-lines is for --format safetensors and npz"),
        (("in.txt", "out", "--words", "--format", "npz"),
         "--words is for --format jsonl; npz always has them"),
        (("in.txt", "out", "--layers", "-1", "--max-length", "65"),
         "no rows of 65 tokens\n  the encoder takes 2 to 64"),
    ],
)  # fmt: skip
def test_bad_input(here, trained, tmp_path, words, message) -> None:
    (tmp_path / "in.txt").write_text("The cat.\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "mine.partial").write_text("notes")
    (tmp_path / "latin.txt").write_bytes(b"fine\ncaf\xe9\n")
    before = sorted(tmp_path.rglob("*"))
    small = () if "--layers" in words else ("--layers", "-1")
    result = here("features", trained, *words, *small)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"error: {message}\n"
    assert sorted(tmp_path.rglob("*")) == before


def test_what_the_checkpoint_has_not(here, trained, tmp_path) -> None:
    (tmp_path / "in.txt").write_text("The cat.\n")
    given = ("in.txt", "out", "--layers", "-1")
    unknown = here("features", trained, *given, "--task", "wnli")
    assert unknown.returncode == 2
    assert 'no task "wnli" there' in unknown.stderr
    nowhere = here("features", "nowhere", *given)
    assert nowhere.returncode == 2
    assert nowhere.stderr.startswith("error: there is no ")
    form = here("features", trained, *given, "--format", "csv")
    assert form.returncode == 2
    assert "'csv' is not one of 'jsonl', 'safetensors', 'npz'" in form.stderr
    act = here("features", trained, *given, "--hidden-act", "gelu_tan")
    assert act.returncode == 2
    assert "Invalid value for '--hidden-act': 'gelu_tan' is not one of 'gelu_tanh'" in act.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


@pytest.fixture
def small_disk(disk) -> Path:
    """A file system of half a megabyte."""
    return disk("512k")


@pytest.mark.parametrize("form", ["jsonl", "safetensors", "npz"])
def test_a_full_disk(here, trained, lines, small_disk, tmp_path, form) -> None:
    small = ("--layers", "-1", "--format", form)
    shards = () if form == "jsonl" else ("--shard-lines", "20")
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * 300_000)
    (tmp_path / "few.txt").write_text("".join(lines.read_text().splitlines(keepends=True)[:250]))
    words = ("features", trained, "few.txt", small_disk / "out", *small, *shards)
    full = here(*words)
    assert full.returncode == 1
    assert full.stderr.endswith(
        f"error: {small_disk}/out: cannot be written: No space left on device\n"
        "  make room there; then go on with --resume\n"
    )
    assert not (small_disk / "out").exists()
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert here(*words, "--resume").returncode == 0
    assert here(*words[:3], tmp_path / "whole", *small, *shards).returncode == 0
    assert fingerprints(small_disk / "out") == fingerprints(tmp_path / "whole")


def test_a_disk_that_is_full_from_the_start(here, trained, lines, small_disk) -> None:
    (small_disk / "filler").write_bytes(b"\0" * (512 * 1024 - 4096))
    result = here("features", trained, lines, small_disk / "out", *SMALL)
    assert result.returncode == 2
    assert result.stderr.endswith(
        f"error: {small_disk}/out: cannot be written: No space left on device\n"
        "  name another place, or make room there\n"
    )
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def test_a_disk_that_nobody_may_write_to(here, trained, lines, small_disk) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = here("features", trained, lines, small_disk / "out", *SMALL)
    assert result.returncode == 2
    assert result.stderr.endswith(
        f"error: {small_disk}/out: cannot be written: Read-only file system\n"
        "  name another place, or make room there\n"
    )
