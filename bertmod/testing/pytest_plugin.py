"""The pytest plugin: conformance checks of distributions without a test file.

It loads whenever pytest starts in an environment with bertmod, so it imports nothing until it is
asked for checks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bertmod.testing.distribution import Case

OPTION = "--bertmod-conformance"
SETTING = "bertmod_conformance"


class ConformanceItem(pytest.Item):
    """One check of one component."""

    def __init__(self, *, case: Case, distribution: str, **about: Any) -> None:
        super().__init__(**about)
        self.case = case
        self.distribution = distribution

    def runtest(self) -> None:
        """Run the check."""
        self.case()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The check's own words; a traceback into the suite only where it is a bug of it."""
        if isinstance(excinfo.value, AssertionError) and style is None:
            cause = excinfo.value.__cause__
            inside = cause is not None and type(cause) is not AssertionError
            return super().repr_failure(excinfo) if inside else str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """What stands in the report's headline."""
        return self.path, None, f"{self.distribution}: {self.case.id}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the setting."""
    about = "Distribution whose bertmod components are checked; may be given more than once."
    group = parser.getgroup("bertmod")
    group.addoption(OPTION, action="append", default=[], metavar="DIST", help=about)
    parser.addini(SETTING, "Distributions whose bertmod components are checked.", type="args")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the checks before -k and -m choose among all items."""
    names = [*config.getini(SETTING), *config.getoption(OPTION)]
    for distribution in dict.fromkeys(names):
        items.extend(_items(session, distribution))


def _items(session: pytest.Session, distribution: str) -> Iterable[pytest.Item]:
    from bertmod.testing.distribution import cases

    for case in cases(distribution):
        yield ConformanceItem.from_parent(
            session,
            name=f"{distribution}::{case.id}",
            case=case,
            distribution=distribution,
        )
