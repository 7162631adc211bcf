"""The most memory that this process has held."""

from __future__ import annotations

import sys
from pathlib import Path


def process_peak(status: Path = Path("/proc/self/status")) -> int | None:
    """The most memory that this process has held so far, bytes.

    Linux counts it for the program that runs; what other systems report may include what the
    process was before it became this program.

    Args:
        status: Linux's file about the process.

    Returns:
        Resident memory at its highest; None where the system does not tell.
    """
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
