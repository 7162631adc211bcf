"""One shared encoder with the adapters and heads of its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, cast

from torch import Tensor, nn

from bertmod.contracts.adapter import Adapter
from bertmod.contracts.batch import Batch, Span
from bertmod.contracts.encoder import Encoder, EncoderOutput, Part
from bertmod.contracts.head import Head, HeadOutput
from bertmod.model.sites import SpanSites, TaskSites, check_sites
from bertmod.model.table import ModuleTable

if TYPE_CHECKING:
    from torch.nn import Parameter

    from bertmod.contracts.batch import Arrays


class Answer(NamedTuple):
    """What one task's head says of its rows of a mixed batch.

    Attributes:
        task: Id of the task.
        head: The head.
        output: Its output.
        batch: The task's rows alone, as ``Head.decode`` wants them beside the output.
    """

    task: str
    head: Head
    output: HeadOutput
    batch: Batch


class MultiTaskModel(nn.Module):
    """An encoder, and for each task its adapters and its head.

    Parameters are named ``encoder.*``, ``adapters.<task>.<id>.*`` and ``heads.<task>.*``.

    Tasks come and go while the encoder stays: ``attach`` and ``detach`` are cheap. A forward takes
    the objects that it needs when it begins, so one that is under way in another thread ends as
    it began. Attaching and detaching themselves want one thread at a time, and none that trains,
    saves or moves the model.

    Args:
        encoder: The shared encoder.
        adapters: Task id to its adapters by id, in the order in which they act; a task without
            adapters may be left out.
        heads: Task id to its head; the order of the tasks is that of the run's task list. None
            at all is fine for a model whose tasks will be attached.
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
        self.uses: dict[str, str] = dict(uses or {})
        _check_tasks(tuple(heads), adapters, self.uses)
        self._numbers = {task: number for number, task in enumerate(heads)}
        self._next = len(heads)
        self.encoder = cast(nn.Module, encoder)
        self.adapters = ModuleTable(
            {
                task: ModuleTable(cast(Mapping[str, nn.Module], adapters.get(task, {})))
                for task in heads
            }
        )
        self.heads = ModuleTable(cast(Mapping[str, nn.Module], heads))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks with a head of their own, in the order in which they came."""
        return tuple(self._numbers)

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

    def answer(self, batch: Batch) -> list[Answer]:
        """What each task's head says of its rows of a mixed batch, in one pass of the encoder.

        Args:
            batch: Rows of any number of tasks, ordered by task, as ``collate`` makes them with
                ``tasks``; task numbers are those that ``number`` gives. Targets are passed over:
                there are no losses. If the head of any task there needs padded rows, the batch
                must have them.

        Returns:
            One answer per span of the batch, in their order.

        Raises:
            ValueError: If the batch has rows of a task that the model has not.
        """
        batch = replace(self._switched(batch), targets={})
        heads = [(task, self.head(task)) for task in self._tasks_of(batch.context.spans)]
        want = frozenset[Part]().union(*(head.want for _, head in heads))
        output = self.encode(batch, want=want)
        answers = []
        for span, (task, head) in zip(batch.context.spans, heads, strict=True):
            rows = batch.narrow(span)
            answers.append(Answer(task, head, head(output.narrow(span), rows), rows))
        return answers

    def decode(self, batch: Batch) -> list[Arrays]:
        """What the tasks' heads decode of a mixed batch, one entry per feature in its order.

        Args:
            batch: As ``answer`` takes it.
        """
        return [
            arrays
            for _, head, output, rows in self.answer(batch)
            for arrays in head.decode(output, rows)
        ]

    def encode(
        self, batch: Batch, task: str | None = None, *, want: frozenset[Part]
    ) -> EncoderOutput:
        """Encoder output of a batch, adapters included.

        Args:
            batch: Rows of one task, or of several, ordered by task.
            task: Id of the task; None takes the tasks of the batch's spans, by their ``number``.
            want: Parts of the output that somebody reads.

        Raises:
            ValueError: If there is no such task, or no task has a span's number.
        """
        batch = self._switched(batch)
        spans = batch.context.spans
        tasks = [task] if task is not None else self._tasks_of(spans)
        several = [self.task_adapters(each) for each in tasks]
        if len(several) == 1:
            alone = TaskSites(tuple(several[0].values()), batch.context)
            return self._encoder(batch, alone, want=want)
        sites = SpanSites(several, batch.context, self._encoder.shape)
        return self._encoder(batch, sites, want=want)

    def attach(self, task: str, adapters: Mapping[str, Adapter], head: Head) -> None:
        """Take in a task, behind those that are there.

        The modules go where the encoder is, in its dtype, and into the model's mode.

        Args:
            task: Id of the task; lower_snake.
            adapters: Its adapters by id, in the order in which they act.
            head: Its head.

        Raises:
            ValueError: If the model has a task of that name, an adapter acts at a site that the
                encoder has not, or the head wants what the encoder does not provide. The model
                is then as it was.
        """
        if task in self._numbers or task in self.uses:
            raise ValueError(f'the model has a task "{task}" already: detach it first')
        for name, adapter in adapters.items():
            check_sites(adapter, self._encoder.shape, owner=f'adapter "{name}" of task "{task}"')
        if lacking := sorted(head.want - self._encoder.shape.provides):
            raise ValueError(
                f'the head of task "{task}" wants what the encoder does not provide: '
                f"{', '.join(lacking)}"
            )
        own = ModuleTable(cast(Mapping[str, nn.Module], adapters))
        both = nn.ModuleList([own, cast(nn.Module, head)])
        like = next(self.encoder.parameters())
        both.to(device=like.device, dtype=like.dtype).train(self.training)
        self.adapters.add(task, own)
        self.heads.add(task, cast(nn.Module, head))
        self._numbers[task], self._next = self._next, self._next + 1

    def detach(self, task: str) -> tuple[dict[str, Adapter], Head]:
        """Give a task back; its number is not given to another.

        Returns:
            Its adapters by id and its head, where and as they are: ``attach`` takes them again.

        Raises:
            ValueError: If the model has no such task, other tasks borrow from it, or it is one
                that borrows.
        """
        if task in self.uses:
            raise ValueError(
                f'task "{task}" borrows from "{self.uses[task]}" and has nothing of its own to '
                "detach: release it instead"
            )
        self.owner(task)
        if borrowers := [each for each, owner in self.uses.items() if owner == task]:
            raise ValueError(
                f'task "{task}" cannot be detached, since others borrow its adapters and head: '
                f"{', '.join(borrowers)}\n  release those first"
            )
        adapters, head = self.task_adapters(task), self.head(task)
        del self._numbers[task]
        self.heads.remove(task)
        self.adapters.remove(task)
        return adapters, head

    def borrow(self, task: str, lender: str) -> None:
        """Let a further task answer with another's adapters and head.

        Raises:
            ValueError: If the model has a task of that name already, or no task ``lender`` with
                a head of its own.
        """
        if task in self._numbers or task in self.uses:
            raise ValueError(f'the model has a task "{task}" already')
        _check_tasks(self.tasks, {}, {task: lender})
        self.uses[task] = lender

    def release(self, task: str) -> None:
        """Forget a task that borrows.

        Raises:
            ValueError: If it is none.
        """
        if task not in self.uses:
            raise ValueError(f'task "{task}" does not borrow from another')
        del self.uses[task]

    def number(self, task: str) -> int:
        """What stands for a task in ``BatchContext.task_of_row_R`` and in spans.

        Numbers count ``tasks`` from 0, in the order in which they came; a task that was detached
        leaves a gap, so that no batch in flight can mean another task than it did. A task that
        borrows has its lender's.

        Raises:
            ValueError: If there is no such task.
        """
        return self._numbers[self.owner(task)]

    def owner(self, task: str) -> str:
        """The task whose adapters and head a task uses: itself unless it borrows.

        Raises:
            ValueError: If there is no such task.
        """
        owner = self.uses.get(task, task)
        if owner not in self._numbers:
            raise ValueError(f'the model has no task "{task}"; it has {self._known()}')
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

    def _known(self) -> str:
        return ", ".join((*self.tasks, *self.uses)) or "none"

    def _tasks_of(self, spans: Sequence[Span]) -> list[str]:
        names = {number: task for task, number in self._numbers.items()}
        for span in spans:
            if span.task not in names:
                rows = f"rows {span.first_row} to {span.end_row - 1} of the batch"
                known = ", ".join(f"{number} {task}" for number, task in names.items())
                raise ValueError(
                    f"{rows} are of task number {span.task}, which the model has not; it has "
                    f"{known or 'none'}"
                )
        return [names[span.task] for span in spans]

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
