"""What an exporter is: a trained model to files that other programs run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from bertmod.contracts.batch import Arrays


@dataclass(frozen=True)
class ExportContext:
    """What an exporter gets beside its options.

    Attributes:
        module: From keywords ``input_ids``, ``attention_mask`` and ``token_type_ids``, each
            (batch, length), int64, to a dictionary of outputs by name, fp32, each (batch, ...) or
            (batch, length, ...). Real tokens lead their row. It is on the CPU, without dropout,
            and can be traced by ``torch.export`` with batch and length left open.
        example: Input to a small example, in the order of the arguments.
        outputs: Names of what it gives, in order: ``logits``, ``start_logits``; of several tasks
            ``cola.logits``.
        max_length: Longest row that the encoder has positions for, tokens.
    """

    module: Module
    example: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    max_length: int


@dataclass(frozen=True)
class Exported:
    """What was written, ready to be run.

    Attributes:
        run: From the inputs by name, as ``ExportContext.module`` takes them, and the names of
            the outputs that are wanted to these outputs, fp32. It runs the files that were
            written, not the model that they were made of.
        notes: What the user should know of them, a line each, such as their sizes.
        use: Python that does so without bertmod, for the README beside them: in their folder,
            from ``inputs``, arrays by name, to ``outputs`` by name. Empty if Python cannot.
    """

    run: Callable[[Arrays, Sequence[str]], Arrays]
    notes: tuple[str, ...] = ()
    use: str = ""
