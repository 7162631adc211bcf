from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import pytest

from bertmod.cli import main
from bertmod.sample import sample_folder

ROOT = Path(__file__).parents[2]
GLUE_TASKS = ("cola", "mrpc", "mnli", "rte", "stsb", "sst2", "qqp", "qnli")
RECIPE: dict[str, Any] = {
    "data": {"max_length": 32},
    "encoder": {
        "name": "bert",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
    },
    "tasks": [{"name": "cola"}],
    "adapters": [{"name": "pals", "bottleneck_size": 12, "num_heads": 2}],
    "optimizer": {"name": "adamw", "learning_rate": 1e-3},
    "training": {
        "num_epochs": 2,
        "steps_per_epoch": 3,
        "global_batch_size": 8,
        "precision": "fp32",
        "device": "cpu",
    },
    "evaluation": {"batch_size": 256},
}


class Answer(NamedTuple):
    """What a command called within this process gave."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's cache of the session's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def sample(cache: Path) -> Path:
    """The built-in sample's folder."""
    return sample_folder(cache / "bertmod")


@pytest.fixture(scope="session")
def env(cache: Path) -> Mapping[str, str]:
    """The environment of the program: no other plugins, that cache, one thread."""
    return {
        **os.environ,
        "BERTMOD_PLUGINS": "",
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(cache),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def bertmod(
    tmp_path: Path, env: Mapping[str, str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the program in an empty folder, without other plugins.

    With ``largest_file``, in bytes, the system refuses to let a file grow further, much as a full
    disk does.
    """

    def run(
        *words: str | Path, env: Mapping[str, str] = env, largest_file: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        def limit() -> None:
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        return subprocess.run(
            [sys.executable, "-m", "bertmod", *map(str, words)],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=limit,
        )

    return run


@pytest.fixture
def here(
    tmp_path: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Answer]:
    """Calls the program within this process, for many messages in little time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BERTMOD_PLUGINS", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))

    def call(*words: str | Path) -> Answer:
        capsys.readouterr()
        status = main([str(word) for word in words])
        return Answer(status, *capsys.readouterr())

    return call


@pytest.fixture
def refused(here: Callable[..., Answer], tmp_path: Path) -> Callable[..., None]:
    """Asserts that these words give a message and status 2, and that nothing is written."""

    def check(message: str, *words: str | Path) -> None:
        before = sorted(tmp_path.rglob("*"))
        result = here(*words)
        assert (result.returncode, result.stdout, result.stderr) == (2, "", message)
        assert sorted(tmp_path.rglob("*")) == before

    return check


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """A recipe that trains a tiny encoder on one task in a few steps."""
    return dict(RECIPE)


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., str]:
    """Writes a tiny recipe and gives its name; keywords replace its keys."""

    def write(name: str = "tiny.json", **changes: Any) -> str:
        text = json.dumps({**RECIPE, **changes})
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, env: Mapping[str, str], sample: Path) -> Path:
    """The folder of one tiny run on all tasks of the sample; nobody writes into it."""
    folder = tmp_path_factory.mktemp("trained")
    tasks = [*({"name": name} for name in GLUE_TASKS), {"name": "ax", "uses": "mnli"}]
    (folder / "eight.json").write_text(json.dumps({**RECIPE, "tasks": tasks}))
    result = subprocess.run(
        [sys.executable, "-m", "bertmod", "run", "eight.json"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    (folder / "stdout.txt").write_text(result.stdout)
    (folder / "stderr.txt").write_text(result.stderr)
    return folder / "runs" / "eight"


@pytest.fixture
def cola(tmp_path: Path) -> Path:
    """A data folder with forty training rows of CoLA and sixteen others."""
    folder = tmp_path / "data"
    (folder / "CoLA").mkdir(parents=True)
    for split, count in (("train", 40), ("dev", 16)):
        rows = (f"x\t{n % 2}\t\tThe cat {'sat' if n % 2 else 'sit'} {n}.\n" for n in range(count))
        (folder / "CoLA" / f"{split}.tsv").write_text("".join(rows))
    return folder


@pytest.fixture
def install(tmp_path: Path) -> Callable[[str, str], str]:
    """Installs a distribution ``bertmod-<name>`` of one module; gives the path to search."""

    def install_plugin(name: str, code: str) -> str:
        site = tmp_path / "site"
        info = site / f"bertmod_{name}-0.1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"bertmod_{name}.py").write_text(dedent(code))
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: bertmod-{name}\nVersion: 0.1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[bertmod]\n{name} = bertmod_{name}\n")
        return os.pathsep.join([str(site), str(ROOT)])

    return install_plugin


@pytest.fixture(scope="session")
def fingerprint() -> Callable[[Path], dict[str, str]]:
    """Hash of every file below a folder, by relative path."""

    def hashes(folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return hashes


@pytest.fixture
def table(tmp_path):
    """Writes a file into the working folder."""

    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write
