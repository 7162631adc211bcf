"""What the tests of the suites themselves share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bertmod.specs import Spec
from bertmod.testing import checks_of_spec
from bertmod.testing.subject import Material


def outcome(spec: Spec, **given: Any) -> dict[str, str]:
    """Check to its message, or nothing where it passes."""
    found = {}
    for case in checks_of_spec(spec, **given):
        name = case.id.removeprefix(f"{spec.kind}-{spec.name}-")
        try:
            case()
        except AssertionError as error:
            found[name] = str(error)
        else:
            found[name] = ""
    return found


@pytest.fixture(scope="session")
def verdict() -> Callable[..., str]:
    """Runs one check of a spec; gives its message, empty where it passes."""

    def run(spec: Spec, check: str, **given: Any) -> str:
        (case,) = [case for case in checks_of_spec(spec, **given) if case.id.endswith(f"-{check}")]
        try:
            case()
        except AssertionError as error:
            return str(error)
        return ""

    return run


@pytest.fixture(scope="session")
def verdicts() -> Callable[..., dict[str, str]]:
    """Runs every check of a spec; gives the messages of those that fail."""

    def run(spec: Spec, **given: Any) -> dict[str, str]:
        return {name: text for name, text in outcome(spec, **given).items() if text}

    return run


@pytest.fixture(scope="session")
def own_checks() -> Callable[[Sequence[Any]], set[str]]:
    """Names of the checks of a suite."""
    return lambda checks: {check.__name__ for check in checks}


@pytest.fixture(scope="session")
def material() -> type[Material]:
    """What some kinds need beside options."""
    return Material
