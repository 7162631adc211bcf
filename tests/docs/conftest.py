"""The project's pages and the code blocks in them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FENCE = re.compile(
    r"(?:^[ ]*<!-- not run: (?P<reason>.+?) -->\n+)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w+)[^\n]*\n(?P<body>.*?)^(?P=indent)```[ ]*$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        page: Path of the page inside the checkout.
        line: Line of the first fence, from 1.
        language: What stands behind the fence.
        text: The block's text without indentation.
        reason: Why it is not run, as the comment before it says; empty if it is.
    """

    page: str
    line: int
    language: str
    text: str
    reason: str

    @property
    def shown(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page that a user reads."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "RELEASING.md")]
    return [*top, *sorted((ROOT / "docs").rglob("*.md"))]


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of one page, in order."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        yield Block(
            page=page.relative_to(ROOT).as_posix(),
            line=text.count("\n", 0, match.start("language")) + 1,
            language=match["language"],
            text=textwrap.dedent(match["body"]),
            reason=match["reason"] or "",
        )


def all_blocks(*languages: str) -> list[Block]:
    """The blocks of all pages in some languages."""
    return [b for page in pages() for b in blocks_of(page) if b.language in languages]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrise by block: ``python_page``, ``json_block`` and ``shell_block`` are filled here."""
    if "python_page" in metafunc.fixturenames:
        wanted = [page for page in pages() if any(b.language == "python" for b in blocks_of(page))]
        names = [page.relative_to(ROOT).as_posix() for page in wanted]
        metafunc.parametrize("python_page", [list(blocks_of(page)) for page in wanted], ids=names)
    if "json_block" in metafunc.fixturenames:
        found = all_blocks("json")
        metafunc.parametrize("json_block", found, ids=[block.shown for block in found])
    if "shell_block" in metafunc.fixturenames:
        found = all_blocks("bash", "console", "sh")
        metafunc.parametrize("shell_block", found, ids=[block.shown for block in found])


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def page_paths() -> list[Path]:
    """Every page that a user reads."""
    return pages()


@pytest.fixture(scope="session")
def plugin_page() -> list[Block]:
    """The blocks of the page on writing a plugin."""
    return list(blocks_of(ROOT / "docs/how-to/plugin.md"))


@pytest.fixture
def blocks() -> Callable[[str], list[Block]]:
    """Gives the blocks of a page by its path inside the checkout."""
    return lambda page: list(blocks_of(ROOT / page))
