"""The program ``bertmod``."""

from bertmod.cli.program import main

__all__ = ["main"]
