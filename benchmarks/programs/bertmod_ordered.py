"""``bertmod`` with the features of every pass in a given order.

    python bertmod_ordered.py ORDER ARGUMENT...

ORDER is a JSON file: the features of all passes, one behind another, as another tool trained on
them. The arguments are those of ``bertmod``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np

from bertmod.cli import main
from bertmod.engine import order


class GivenOrder(order.RowOrder):
    """Cuts the features of a pass into batches as they come."""

    features: ClassVar[np.ndarray]
    """Of all passes, (passes * features,), int64."""

    def _make_pass(self, number: int) -> list[np.ndarray]:
        length = len(self._lengths)
        return self._cut(self.features[number * length : (number + 1) * length])


if __name__ == "__main__":
    GivenOrder.features = np.array(json.loads(Path(sys.argv.pop(1)).read_text(encoding="utf-8")))
    order.RowOrder = GivenOrder  # type: ignore[misc]
    sys.exit(main())
