"""A model as a function of padded rows, the form in which it leaves for other programs.

Shape letters: T tokens, R rows, L length of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from bertmod.contracts.encoder import Encoder, Part
from bertmod.contracts.exporter import ExportContext
from bertmod.contracts.head import HeadOutput
from bertmod.model.multitask import MultiTaskModel
from bertmod.nn.padded import padded_batch

SUFFIX = "logits"
"""How the names of outputs end."""

EXAMPLE = (3, 7)
"""Rows and length of the example: sizes that cannot be taken for each other."""


@dataclass(frozen=True)
class PaddedOutput:
    """One output of a model of padded rows.

    Attributes:
        name: Its name: ``logits``, ``start_logits``; of several tasks ``cola.logits``.
        task: Id of its task.
        logits: The head's own name for it, a key of ``HeadOutput.logits``.
        per: ``row``: (rows, ...), one entry per row; ``token``: (rows, length, ...).
        shape: What stands for the dots: (classes,) or ().
    """

    name: str
    task: str
    logits: str
    per: Literal["row", "token"]
    shape: tuple[int, ...]


class PaddedModel(nn.Module):
    """Some of a model's tasks, all answering the same padded rows.

    Tasks without adapters share one pass of the encoder; each other task has a pass of its own,
    with the same weights. Calls give a dictionary of logits by output name: (rows, ...) or
    (rows, length, ...), fp32.

    Args:
        model: The model; it is switched to evaluation.
        tasks: Ids of tasks, those included that borrow.

    Raises:
        ValueError: If a head cannot answer padded rows; says which and why.
    """

    def __init__(self, model: MultiTaskModel, tasks: Sequence[str]) -> None:
        super().__init__()
        self.model = MultiTaskModel(
            cast(Encoder, model.encoder),
            {task: model.task_adapters(task) for task in tasks},
            {task: model.head(task) for task in tasks},
        )
        self.passes = tuple(_passes(self.model))
        self.eval()
        self.outputs = tuple(self._found_outputs())

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> dict[str, Tensor]:
        """Logits by output name.

        Args:
            input_ids: Vocabulary indices, (rows, length), int64.
            attention_mask: 1 for real tokens, which lead their row, else 0; same shape, int64.
            token_type_ids: Segment of each token, same shape, int64.
        """
        found = self._answers(input_ids, attention_mask, token_type_ids)
        rows = input_ids.shape
        logits = {}
        for output in self.outputs:
            value = found[output.task].logits[output.logits].float()
            if output.per == "token":
                value = value.reshape(*rows, *value.shape[1:])
            logits[output.name] = value
        return logits

    def context(self) -> ExportContext:
        """What an exporter gets."""
        names = tuple(output.name for output in self.outputs)
        longest = cast(Encoder, self.model.encoder).shape.max_length
        return ExportContext(self, _example(), names, longest)

    def _answers(self, *rows: Tensor) -> Mapping[str, HeadOutput]:
        batch = padded_batch(*rows)
        answers: dict[str, HeadOutput] = {}
        for tasks in self.passes:
            heads = {task: self.model.head(task) for task in tasks}
            want = frozenset[Part]().union(*(head.want for head in heads.values()))
            output = self.model.encode(batch, tasks[0], want=want)
            answers |= {task: head(output, batch) for task, head in heads.items()}
        return answers

    def _found_outputs(self) -> Iterator[PaddedOutput]:
        """What the heads give for the example, in the order of the tasks."""
        with torch.no_grad():
            answers = self._answers(*_example().values())
        for task in self.model.tasks:
            before = f"{task}." if len(self.model.tasks) > 1 else ""
            for logits, value in answers[task].logits.items():
                rows, length = EXAMPLE
                if len(value) not in (rows, rows * length):
                    raise ValueError(
                        f'of {rows} rows of {length} tokens the head of task "{task}" gives '
                        f'{len(value)} "{logits}", neither one per row nor one per token'
                    )
                yield PaddedOutput(
                    name=before + _output_name(logits),
                    task=task,
                    logits=logits,
                    per="row" if len(value) == rows else "token",
                    shape=tuple(value.shape[1:]),
                )


def _passes(model: MultiTaskModel) -> Iterator[tuple[str, ...]]:
    """The tasks that share a pass of the encoder."""
    plain = tuple(task for task in model.tasks if not model.task_adapters(task))
    if plain:
        yield plain
    yield from ((task,) for task in model.tasks if task not in plain)


def _output_name(logits: str) -> str:
    return logits if logits.endswith(SUFFIX) else f"{logits}_{SUFFIX}"


def _example() -> dict[str, Tensor]:
    """Three full rows of seven tokens, whichever they are."""
    return {
        "input_ids": torch.ones(EXAMPLE, dtype=torch.int64),
        "attention_mask": torch.ones(EXAMPLE, dtype=torch.int64),
        "token_type_ids": torch.zeros(EXAMPLE, dtype=torch.int64),
    }
