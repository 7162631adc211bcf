"""Libraries that scores load at their first use."""

from __future__ import annotations

from importlib.util import find_spec


def require_installed(module: str) -> None:
    """Say at once that a library lacks which only a later score would load.

    Args:
        module: Its top package, such as ``scipy``.

    Raises:
        ModuleNotFoundError: If it is not installed, as from its import.
    """
    if find_spec(module) is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
