"""The page on testing a plugin lists every check with its contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertmod.testing import general
from bertmod.testing.suites import COMPONENT_CHECKS, SUITES

PAGE = Path(__file__).resolve().parents[2] / "docs/plugins/testing.md"
EVERY = (*COMPONENT_CHECKS, *general.CHECKS)


def table(checks) -> str:
    """The rows that stand for some checks."""
    rows = [f"| `{check.__name__}` | {' '.join(check.__doc__.split())} |" for check in checks]
    return "\n".join(["| check | contract |", "| --- | --- |", *rows])


def expected() -> str:
    """The last part of the page."""
    parts = [f"### Every kind\n\n{table(EVERY)}"]
    for kind, checks in SUITES.items():
        own = [check for check in checks if check not in EVERY]
        parts.append(f"### {kind.capitalize()}s\n\n{table(own)}")
    return "\n\n".join(parts) + "\n"


def test_the_page_lists_every_check() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.partition("## What is checked\n\n")[2] == expected()


@pytest.mark.parametrize("kind", list(SUITES))
def test_every_check_has_a_name_and_a_contract(kind: str) -> None:
    names = [check.__name__ for check in SUITES[kind]]
    assert len(set(names)) == len(names)
    assert all(check.__doc__ and check.__doc__.strip().endswith(".") for check in SUITES[kind])
