"""The programs that benchmarks start in other environments, as modules."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import ModuleType

import pytest

from benchmarks.contenders import PROGRAMS


@pytest.fixture(scope="session")
def load_program() -> Callable[[str], ModuleType]:
    """Imports a program of ``benchmarks/programs/`` by its name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, PROGRAMS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
