"""Pages whose code runs when the site is built: a page that fails stops the build."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Block

PAGE = "docs/explanation/compare-tensorflow.md"
CONFIG = """\
site_name: one page
plugins:
{plugin}
markdown_extensions:
  - pymdownx.superfences
"""


def test_the_model_and_its_files_are_tensorflows_alone(
    blocks: Callable[[str], list[Block]],
) -> None:
    model, files, *_ = (block.text for block in blocks(PAGE) if block.language == "python")
    assert "bertmod" not in model + files


def test_every_block_is_executed(blocks: Callable[[str], list[Block]], root: Path) -> None:
    text = (root / PAGE).read_text(encoding="utf-8")
    fences = re.findall(r"^ *```python(.*)$", text, re.MULTILINE)
    assert len(fences) == len([block for block in blocks(PAGE) if block.language == "python"])
    sessions = {re.search(r'exec="1" session="([a-z-]+)"', fence)[1] for fence in fences}
    assert len(sessions) == 1


@pytest.mark.parametrize(("code", "status"), [("print(1 + 1)", 0), ("assert 1 + 1 == 3", 1)])
def test_a_page_that_fails_stops_the_build(
    code: str, status: int, root: Path, tmp_path: Path
) -> None:
    """With the plugin's entry of the site, and the command of the Makefile."""
    command = re.search(r"\$\(BIN\)/mkdocs (build .*) --site-dir site$", _makefile(root), re.M)
    assert command is not None
    entry = re.search(r"^  - markdown-exec:.*\n(?:      .*\n)+", _site(root), re.MULTILINE)
    assert entry is not None
    (tmp_path / "mkdocs.yml").write_text(CONFIG.format(plugin=entry[0].rstrip()))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f'# Page\n\n```python exec="1"\n{code}\n```\n')
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *command[1].split(), "--site-dir", "built"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
    )
    assert done.returncode == status, done.stderr


def _makefile(root: Path) -> str:
    return (root / "Makefile").read_text(encoding="utf-8")


def _site(root: Path) -> str:
    return (root / "mkdocs.yml").read_text(encoding="utf-8")
