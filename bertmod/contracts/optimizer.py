"""What an optimizer's builder gets: named groups of named parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Parameter


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate, a weight decay and a clock.

    The builder makes one torch parameter group of each, in the same order, with ``lr`` set to
    ``learning_rate`` and ``weight_decay`` to ``weight_decay``.

    Attributes:
        name: Readable name of the group, unique.
        parameters: (name, parameter) pairs; names are those of the whole model.
        learning_rate: Peak learning rate, positive; the engine multiplies it by the schedule.
        weight_decay: Weight decay, unitless, 0 or more; 0 for what never decays.
        tables: Names of those parameters that are the weights of embeddings: a batch looks some of
            their rows up, (rows, columns), and the gradient of the others is zero.
    """

    name: str
    parameters: tuple[tuple[str, Parameter], ...]
    learning_rate: float
    weight_decay: float
    tables: frozenset[str] = frozenset()
