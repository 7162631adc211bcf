"""Which tests need what is not everywhere: a GPU, the reference vectors and data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
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


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked ``gpu`` where there is none."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


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
