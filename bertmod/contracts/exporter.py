"""What an exporter is: a trained model to files that other programs run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from bertmod.contracts.batch import Arrays


@dataclass(frozen=True)
class ExportedOutput:
    """One output of what is exported.

    Attributes:
        name: Its name in the file: ``logits``, ``start_logits``; of several tasks
            ``cola.logits``.
        task: Id of its task.
        logits: The head's own name for it, a key of ``HeadOutput.logits``.
        per: ``row``: (batch, ...), one entry per row; ``token``: (batch, length, ...).
        shape: What stands for the dots: (classes,) or ().
    """

    name: str
    task: str
    logits: str
    per: Literal["row", "token"]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ExportContext:
    """What an exporter gets beside its options.

    Attributes:
        module: From keywords ``input_ids``, ``attention_mask`` and ``token_type_ids``, each
            (batch, length), int64, to a dictionary of outputs by name, fp32. Real tokens lead
            their row. It is on the CPU, without dropout, and can be traced by ``torch.export``
            with batch and length left open.
        example: Input to a small example, in the order of the arguments.
        outputs: What it gives, in order.
        max_length: Longest row that will be asked for, tokens.
    """

    module: Module
    example: Mapping[str, Tensor]
    outputs: tuple[ExportedOutput, ...]
    max_length: int


@dataclass(frozen=True)
class Exported:
    """What was written, ready to be run.

    Attributes:
        run: From the inputs by name, as ``ExportContext.module`` takes them, and the names of
            the outputs that are wanted to these outputs, fp32. It runs the files that were
            written, not the model that they were made of.
        notes: What the user should know of them, a line each, such as their sizes.
        use: How to run them without bertmod, Markdown for the README beside them.
    """

    run: Callable[[Arrays, Sequence[str]], Arrays]
    notes: tuple[str, ...] = ()
    use: str = ""
