"""What every command of one call of the program shares."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from bertmod.registry import Registry, load_registry


@dataclass(frozen=True)
class Invocation:
    """One call of the program.

    Attributes:
        registry: What is installed.
        debug: Whether errors show a traceback.
        strict_plugins: Whether a plugin that fails is an error.
    """

    registry: Registry
    debug: bool = False
    strict_plugins: bool = False


_current: ContextVar[Invocation] = ContextVar("invocation")


def begin(*, debug: bool, strict_plugins: bool) -> Invocation:
    """Load the plugins for a call of the program.

    Raises:
        PluginError: If ``strict_plugins`` and a plugin failed.
    """
    started = Invocation(load_registry(strict_plugins), debug, strict_plugins)
    _current.set(started)
    return started


def invocation() -> Invocation:
    """The call that is going on; a command called from Python starts a plain one."""
    try:
        return _current.get()
    except LookupError:
        return begin(debug=False, strict_plugins=False)
