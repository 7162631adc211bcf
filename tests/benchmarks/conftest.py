"""The programs that benchmarks start in other environments, as modules."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchmarks.contenders import PROGRAMS
from benchmarks.speed.pairs import Pair
from benchmarks.speed.shapes import WIDTHS, checkpoint

WORDS = "abcdefgh"
TINY = (24, 2, 2)


@pytest.fixture(scope="session")
def load_program() -> Iterator[Callable[[str], ModuleType]]:
    """Imports a program of ``benchmarks/programs/`` by its name.

    The programs find one another where they lie, as when they are run.
    """

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, PROGRAMS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    sys.path.insert(0, str(PROGRAMS))
    yield load
    sys.path.remove(str(PROGRAMS))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Random weights of a shape that is smaller than any that is measured."""
    folder = tmp_path_factory.mktemp("vocabulary")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", *WORDS]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(WIDTHS, "tiny", TINY)
        yield str(checkpoint("tiny", str(folder), folder / "weights"))


@pytest.fixture
def pairs() -> list[Pair]:
    """As many as a round has, of different lengths."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(list(WORDS), draw.integers(1, 12))) for _ in range(2 * 16)]
    return [Pair(*texts[at : at + 2], str(at // 2 % 2)) for at in range(0, len(texts), 2)]


@pytest.fixture
def mrpc_folder(tmp_path: Path) -> Path:
    """A data folder: MRPC's two files, of 100 rows each, labelled 0 and 1 by turns."""
    (tmp_path / "MRPC").mkdir()
    rows = [f"{number % 2}\t1\t2\ta {WORDS[number % 8]} c\td e\n" for number in range(100)]
    text = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n" + "".join(rows)
    for split in ("train", "dev"):
        (tmp_path / "MRPC" / f"{split}.tsv").write_text(text, encoding="utf-8")
    return tmp_path
