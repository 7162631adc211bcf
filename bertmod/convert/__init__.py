"""Between checkpoint formats: what leaves a checkpoint, and whether two of them are equal.

What needs torch is imported at its first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertmod.convert.conversion import Conversion, convert
    from bertmod.convert.verification import Verification, verify

__all__ = ["Conversion", "Verification", "convert", "verify"]

_MODULES = {
    "Conversion": "conversion",
    "convert": "conversion",
    "Verification": "verification",
    "verify": "verification",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
