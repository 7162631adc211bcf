"""Between checkpoint formats: what leaves a checkpoint, and whether two of them are equal.

What needs torch is imported at its first use.
"""

from typing import TYPE_CHECKING

from bertmod.lazy import lazy_names

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

__getattr__ = lazy_names(__name__, _MODULES)
