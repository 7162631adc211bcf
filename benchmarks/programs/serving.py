"""A program that stays: it says what it is, and then does a round for each line of its input.

    python PROGRAM.py SETTINGS

SETTINGS is a JSON file. What the program says is a line of JSON each; ``benchmarks/workers.py``
reads them. Whatever else is printed goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Told = dict[str, Any]


class Unable(Exception):
    """The program cannot do here what it is asked for."""


def serve(start: Callable[[Told], tuple[Told, Callable[[str], Told]]]) -> None:
    """Answer the lines of the input.

    Args:
        start: Settings to what the program says of itself, and to what makes a round of a line. It
            may raise ``Unable``, which is said instead.
    """
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    try:
        about, round_of = start(settings)
    except Unable as error:
        print(json.dumps({"unable": str(error)}), file=told, flush=True)
        return
    print(json.dumps(about), file=told, flush=True)
    for line in sys.stdin:
        print(json.dumps(round_of(line.strip())), file=told, flush=True)
