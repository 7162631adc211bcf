"""The pages on writing a component of each kind show what ``bertmod new-plugin`` renders."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from bertmod.registry import KINDS
from bertmod.scaffold import NewPlugin, render

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Block

PART = "a part of "


@pytest.fixture
def page(root: Path) -> Callable[[str], str]:
    """Gives the page of a kind."""
    return lambda kind: (root / "docs/plugins" / f"{kind}.md").read_text(encoding="utf-8")


def rendered(text: str, kind: str) -> dict[str, str]:
    """The files of the plugin that a page makes with its first command."""
    (name,) = set(re.findall(rf"^\$ bertmod new-plugin {kind} (\w+)$", text, re.MULTILINE))
    return {path.as_posix(): code for path, code in render(NewPlugin(kind, name))}


@pytest.mark.parametrize("kind", KINDS)
def test_code_is_what_is_rendered(
    page: Callable[[str], str], blocks: Callable[[str], list[Block]], kind: str
) -> None:
    files = rendered(page(kind), kind)
    parts = [block for block in blocks(f"docs/plugins/{kind}.md") if block.reason.startswith(PART)]
    assert any(block.language == "python" for block in parts)
    assert kind in ("metric", "exporter") or any(block.language == "json" for block in parts)
    for block in parts:
        code = files[block.reason.removeprefix(PART)]
        if block.language == "json":
            stated, recipe = json.loads(block.text), json.loads(code)
            assert stated == {key: recipe[key] for key in stated}, block.shown
        else:
            assert _flat(block.text) in _flat(code), block.shown


@pytest.mark.parametrize("kind", KINDS)
def test_files_and_names_that_it_mentions_exist(page: Callable[[str], str], kind: str) -> None:
    text = page(kind)
    files = rendered(text, kind)
    code = "\n".join(files.values())
    mentioned = re.findall(r"`((?:tests/)?\w+\.py)`", text)
    assert [name for name in mentioned if not any(path.endswith(name) for path in files)] == []
    constants = re.findall(r"`([A-Z]{4,})`", text)
    assert [name for name in constants if name not in code] == []


def test_every_kind_is_in_the_navigation(root: Path) -> None:
    navigation = (root / "mkdocs.yml").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f": plugins/{kind}.md\n" not in navigation] == []


def _flat(code: str) -> str:
    """Code without what it is indented by: a page shows parts flush left."""
    return "\n".join(line.lstrip() for line in code.splitlines()).strip()
