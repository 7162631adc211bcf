"""What a head is: encoder output to logits, loss sums and per-feature answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from torch.nn import Module

    from bertmod.contracts.batch import Arrays, Batch
    from bertmod.contracts.encoder import EncoderOutput, EncoderShape, Part


HeadLayout = Literal["any", "padded"] | int
"""How a head needs its rows: as they come, padded to one length, or padded to so many tokens."""


@dataclass(frozen=True)
class TaskInfo:
    """What a task fixes once and a head keeps for ever.

    Attributes:
        labels: Label names in the order of the logits; None for a task without classes.
        value_range: Lowest and highest reported value of a regression, in the task's own unit.
        calibration: Named numbers found on a dev split, such as a decision threshold.
        fingerprint: Hash of what the task's training data and options were.
        label_counts: How often each of ``labels`` stands in the training data; None if the task
            does not count them.
    """

    labels: tuple[str, ...] | None = None
    value_range: tuple[float, float] | None = None
    calibration: Mapping[str, float] = field(default_factory=dict)
    fingerprint: str = ""
    label_counts: tuple[int, ...] | None = None


@dataclass(frozen=True)
class HeadContext:
    """What a head's builder gets beside its options.

    Attributes:
        task: Id of its task.
        shape: The encoder's shape.
        info: Label names or value range of the task.
        init: Puts the recipe's initial values into a module's parameters.
        max_length: Longest row of the task, tokens; None if nobody stated one.
    """

    task: str
    shape: EncoderShape
    info: TaskInfo
    init: Callable[[Module], None]
    max_length: int | None = None


@dataclass(frozen=True)
class HeadOutput:
    """What a head gives for a batch.

    Attributes:
        logits: Named tensors, first axis as the head's documentation says.
        losses: Name to (fp32 sum over targets, weight); empty when the batch has no targets.
    """

    logits: Mapping[str, Tensor]
    losses: Mapping[str, tuple[Tensor, float]]


class Head(Protocol):
    """A torch module from encoder output to one task's answers.

    Attributes:
        want: The parts of the encoder's output that it reads.
        layout: ``any``; ``padded`` if its arithmetic needs rows padded to one length; a number of
            tokens if that length decides the result. In a mixed batch, which has no losses, the
            largest number counts, and rows longer than that are padded to the longest.
        info: Label names or value range; stored with the head, replaced after calibration.
    """

    info: TaskInfo

    @property
    def want(self) -> frozenset[Part]: ...
    @property
    def layout(self) -> HeadLayout: ...
    def num_targets(self, targets: Arrays, lengths: np.ndarray) -> Mapping[str, float]:
        """How many targets each named loss will have, known before the forward.

        Args:
            targets: The features' targets on the host.
            lengths: Real tokens per row, (rows,), int64.
        """
        ...

    def __call__(self, output: EncoderOutput, batch: Batch) -> HeadOutput:
        """Logits, and loss sums where the batch has targets."""
        ...

    def decode(self, output: HeadOutput, batch: Batch) -> list[Arrays]:
        """What evaluation and prediction keep of a batch: named host arrays, one per feature."""
        ...
