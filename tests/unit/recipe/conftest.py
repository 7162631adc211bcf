from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bertmod.errors import RecipeError
from bertmod.recipe.load import load_recipe
from bertmod.recipe.resolve import resolve
from bertmod.registry import Registry, load_registry

Write = Callable[..., Path]
Report = Callable[..., str]


@pytest.fixture(scope="session")
def registry() -> Registry:
    """What ships with bertmod, without anything else that may be installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTMOD_PLUGINS", "")
        return load_registry(strict=True)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a recipe below the working folder and gives its relative path."""
    monkeypatch.chdir(tmp_path)

    def write_recipe(values: Mapping[str, Any] | str, name: str = "recipes/x.json") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = values if isinstance(values, str) else json.dumps(values)
        path.write_text(text, encoding="utf-8")
        return Path(name)

    return write_recipe


@pytest.fixture
def report(write: Write, registry: Registry) -> Report:
    """The whole message about a recipe with problems."""

    def report_on(values: Mapping[str, Any] | str, *overrides: str, **replace: Any) -> str:
        path = write(values)
        with pytest.raises(RecipeError) as caught:
            resolve(load_recipe(path, overrides=overrides), registry, **replace)
        return str(caught.value)

    return report_on
