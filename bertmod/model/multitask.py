"""One shared encoder with the adapters and heads of its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from bertmod.contracts.adapter import Adapter
from bertmod.contracts.batch import Batch
from bertmod.contracts.encoder import Encoder, EncoderOutput, Part
from bertmod.contracts.head import Head, HeadOutput
from bertmod.model.sites import SpanSites, TaskSites
from bertmod.model.table import ModuleTable

if TYPE_CHECKING:
    from torch.nn import Parameter


class MultiTaskModel(nn.Module):
    """An encoder, and for each task its adapters and its head.

    Parameters are named ``encoder.*``, ``adapters.<task>.<id>.*`` and ``heads.<task>.*``.

    Args:
        encoder: The shared encoder.
        adapters: Task id to its adapters by id, in the order in which they act; a task without
            adapters may be left out.
        heads: Task id to its head; the order of the tasks is that of the run's task list.
        uses: Further task id to the task whose adapters and head it borrows.

    Raises:
        ValueError: If adapters belong to no task, or a borrowing task names no task or is one
            itself.
    """

    def __init__(
        self,
        encoder: Encoder,
        adapters: Mapping[str, Mapping[str, Adapter]],
        heads: Mapping[str, Head],
        *,
        uses: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.tasks: tuple[str, ...] = tuple(heads)
        self.uses: Mapping[str, str] = dict(uses or {})
        _check_tasks(self.tasks, adapters, self.uses)
        self.encoder = cast(nn.Module, encoder)
        self.adapters = ModuleTable(
            {
                task: ModuleTable(cast(Mapping[str, nn.Module], adapters.get(task, {})))
                for task in self.tasks
            }
        )
        self.heads = ModuleTable(cast(Mapping[str, nn.Module], heads))

    def forward(self, batch: Batch, task: str) -> HeadOutput:
        """Logits and losses of a batch whose rows all belong to one task.

        Args:
            batch: Rows and targets; dropout follows ``self.training``, whatever its context says.
            task: Id of the task.
        """
        head = self.head(task)
        batch = self._switched(batch)
        sites = TaskSites(tuple(self.task_adapters(task).values()), batch.context)
        return head(self._encoder(batch, sites, want=head.want), batch)

    def encode(
        self, batch: Batch, task: str | None = None, *, want: frozenset[Part]
    ) -> EncoderOutput:
        """Encoder output of a batch, adapters included.

        Args:
            batch: Rows of one task, or of several, ordered by task.
            task: Id of the task; None takes the tasks of the batch's spans, whose indices count
                ``self.tasks``.
            want: Parts of the output that somebody reads.
        """
        batch = self._switched(batch)
        if task is not None:
            adapters = tuple(self.task_adapters(task).values())
            return self._encoder(batch, TaskSites(adapters, batch.context), want=want)
        several = [
            tuple(self.task_adapters(self.tasks[span.task]).values())
            for span in batch.context.spans
        ]
        sites = SpanSites(several, batch.context, self._encoder.shape)
        return self._encoder(batch, sites, want=want)

    def owner(self, task: str) -> str:
        """The task whose adapters and head a task uses: itself unless it borrows.

        Raises:
            ValueError: If there is no such task.
        """
        owner = self.uses.get(task, task)
        if owner not in self.heads:
            known = ", ".join((*self.tasks, *self.uses))
            raise ValueError(f'the model has no task "{task}"; it has {known}')
        return owner

    def head(self, task: str) -> Head:
        """The head that a task uses."""
        return cast(Head, self.heads[self.owner(task)])

    def task_adapters(self, task: str) -> dict[str, Adapter]:
        """The adapters that a task uses, by id, in the order in which they act."""
        table = cast(ModuleTable, self.adapters[self.owner(task)])
        return {name: cast(Adapter, module) for name, module in table.items()}

    def active(self, task: str) -> frozenset[str]:
        """Names of the parameters that a batch of a task trains, frozen ones included.

        These are the encoder's for what the head wants, less those behind sites whose output
        one of the task's adapters replaces, and those of the task's adapters and head.
        """
        owner, head = self.owner(task), self.head(task)
        wanted = self._encoder.active(head.want) - frozenset(self._replaced(task))
        own = (f"adapters.{owner}.", f"heads.{owner}.")
        return frozenset(f"encoder.{name}" for name in wanted) | frozenset(
            name for name, _ in self.named_parameters() if name.startswith(own)
        )

    @property
    def _encoder(self) -> Encoder:
        return cast(Encoder, self.encoder)

    def _switched(self, batch: Batch) -> Batch:
        """The batch with dropout as the model's mode wants it."""
        if batch.context.training == self.training:
            return batch
        return replace(batch, context=batch.context.with_training(self.training))

    def _replaced(self, task: str) -> Iterator[str]:
        """Names of the encoder's parameters all of whose entries lie behind replaced sites."""
        kinds = self._encoder.shape.sites
        places = {
            place for adapter in self.task_adapters(task).values() for place in adapter.replaces
        }
        views: list[Tensor] = []
        for site, layer in sorted(places):
            if kinds[site].kind == "projection":
                views.extend(self._encoder.projection(site, layer))
            elif kinds[site].kind == "norm":
                views.extend(self._encoder.norm(site, layer))
        if views:
            yield from _covered(dict(self.encoder.named_parameters()), views)


def _covered(parameters: Mapping[str, Parameter], views: list[Tensor]) -> Iterator[str]:
    """Parameters that the views cover in full; a fused matrix takes several."""
    entries: dict[int, int] = {}
    for view in views:
        key = view.untyped_storage().data_ptr()
        entries[key] = entries.get(key, 0) + view.numel()
    for name, parameter in parameters.items():
        if entries.get(parameter.untyped_storage().data_ptr(), 0) >= parameter.numel():
            yield name


def _check_tasks(
    tasks: tuple[str, ...],
    adapters: Mapping[str, Mapping[str, Adapter]],
    uses: Mapping[str, str],
) -> None:
    if lost := sorted(adapters.keys() - set(tasks)):
        raise ValueError(f"adapters of tasks without a head: {', '.join(lost)}")
    for task, owner in uses.items():
        if owner not in tasks or task in tasks:
            raise ValueError(f'task "{task}" cannot use "{owner}": {", ".join(tasks)} have heads')
