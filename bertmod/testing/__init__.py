"""Conformance suites: what a component of each kind promises, as tests that anybody can run.

A plugin's test file is one line::

    test_gate = conformance("bertmod-gate")

Importing this module imports neither torch nor pytest, nor anything of bertmod before it is used:
the pytest plugin beside it loads whenever pytest starts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertmod.testing.distribution import Case, cases, checks, checks_of_spec, conformance
    from bertmod.testing.subject import TASKS, Source

__all__ = [
    "TASKS",
    "Case",
    "Source",
    "cases",
    "checks",
    "checks_of_spec",
    "conformance",
]

_HOMES = {"TASKS": "subject", "Source": "subject"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'distribution')}"), name)
