"""``bertmod`` with the features of every pass in a given order.

    python bertmod_ordered.py ORDER ARGUMENT...

ORDER is a JSON file: the features of all passes, one behind another, as another tool trained on
them. The arguments are those of ``bertmod``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from bertmod.cli import main
from bertmod.cli.program import brief_spinning


def replace_order(features: np.ndarray) -> None:
    """Have every pass cut into batches as it comes.

    Args:
        features: Of all passes, int64; the last may be cut short.
    """
    from bertmod.engine import order

    class GivenOrder(order.RowOrder):
        def _make_pass(self, number: int) -> list[np.ndarray]:
            length = len(self._lengths)
            own = features[number * length : (number + 1) * length]
            if not set(own.tolist()) <= set(range(length)) or len(np.unique(own)) < len(own):
                raise SystemExit(f"pass {number} of the order is not one of {length} features")
            return self._cut(own)

    order.RowOrder = GivenOrder  # type: ignore[misc]


if __name__ == "__main__":
    os.environ |= brief_spinning(os.environ)  # torch is loaded before ``main`` could
    replace_order(np.array(json.loads(Path(sys.argv.pop(1)).read_text(encoding="utf-8"))))
    sys.exit(main())
