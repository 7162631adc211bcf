"""Every tensor of a checkpoint: under canonical names, and under those of another format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from bertmod.contracts.checkpoint import UNASKED, LoadReport, TensorName
from bertmod.convert.source import Source, SourceTask
from bertmod.errors import CheckpointError
from bertmod.model.canonical import encoder_hash, require_hash
from bertmod.model.loading import OWN_FORMAT, Component, load_tensors
from bertmod.model.report import Odd
from bertmod.wording import listed

Order = tuple[int, ...]
Tensors = dict[str, dict[str, Tensor]]


def read_tensors(
    source: Source,
    *,
    orders: Mapping[str, Order] | None = None,
    allow: Sequence[str] | None = None,
    whole: bool = True,
) -> tuple[Tensors, LoadReport]:
    """Read everything that is wanted, and account for the rest.

    Args:
        source: The checkpoint.
        orders: Task id to the index in the file of each of its labels, where that differs.
        allow: Shell patterns of names in the file that no component need know; None: nothing is
            allowed, and no message tells how.
        whole: Whether a head or an adapter that is not wanted is an error.

    Returns:
        Component (``encoder``, ``heads.TASK``, ``adapters.TASK.ID``) to its tensors by canonical
        name, fp32; and what became of each tensor of the file. What the encoder lacks and nothing
        needs is named among the initialised.

    Raises:
        CheckpointError: If a tensor is damaged, missing, of another shape or unknown.
    """
    found: Tensors = {}
    components = list(_components(source, orders or {}, found))
    report = load_tensors(
        source.stored,
        source.opened.description,
        components,
        allow=None if allow is None else {"unexpected": allow},
        hint=_hint,
        source=source.opened.path,
    )
    if whole:
        _refuse_unasked(source, report)
    if stored := source.opened.description.encoder_hash:
        _require_hash(source, found["encoder"], stored)
    return found, report


def _hint(odd: Odd) -> str:
    """How ``bertmod convert`` allows what does not fit."""
    option = "if that is meant, --allow-unexpected PATTERN leaves out the names that match"
    return option if odd["unexpected"] else ""


def _components(source: Source, orders: Mapping[str, Order], found: Tensors) -> Iterator[Component]:
    """Components under the checkpoint's names, whose tensors go to the copy's."""

    def into(prefix: str) -> dict[str, Tensor]:
        return found.setdefault(prefix, {})

    names = source.encoder_names
    yield Component("encoder", names, into=into("encoder"), want=source.want, required=True)
    for task in source.tasks:
        for adapter in task.adapters:
            yield Component(
                f"adapters.{task.key}.{adapter.id}",
                adapter.names,
                into=into(f"adapters.{task.id}.{adapter.id}"),
                index=task.index,
                required=True,
            )
        yield Component(
            f"heads.{task.key}",
            task.names,
            into=into(f"heads.{task.id}"),
            index=task.index,
            order=orders.get(task.id),
            required=True,
        )


def _refuse_unasked(source: Source, report: LoadReport) -> None:
    """Refuse to leave out a head or an adapter in silence."""
    left = [name for name, why in report.skipped.items() if why.endswith(UNASKED)]
    if not left or source.format == OWN_FORMAT:  # there --task chose among named tasks
        return
    raise CheckpointError(
        f"{source.opened.path}: it cannot be told what these belong to: {listed(left)}\n"
        "  if it is a head, say which: --head NAME, such as classification or "
        "multiple_choice\n  to leave them out: --encoder-only"
    )


def _require_hash(source: Source, tensors: Mapping[str, Tensor], stored: str) -> None:
    found = encoder_hash({f"encoder.{name}": tensor for name, tensor in tensors.items()})
    folder = source.opened.description.files[0].parent
    require_hash(folder, found=found, stored=stored)


def in_format(source: Source, tensors: Tensors, format_: str) -> Tensors:
    """The tensors under a format's names, each transposed where the format has it so.

    Args:
        source: The checkpoint that they are from.
        tensors: Component to its tensors by canonical name.
        format_: Name of the naming format.

    Raises:
        CheckpointError: If the format has no name for a tensor, or one name for two.
    """
    named = _Named(source, format_)
    named.add("encoder", source.encoder_names, tensors["encoder"], what="this encoder")
    for task in source.tasks:
        for adapter in task.adapters:
            prefix = f"adapters.{task.id}.{adapter.id}"
            what = f'adapter "{adapter.id}" of task "{task.id}"'
            named.add(prefix, adapter.names, tensors[prefix], what=what, adapter=True)
        prefix = f"heads.{task.id}"
        what = f'head "{task.head.spec.name}" of task "{task.id}"'
        named.add(prefix, task.names, tensors[prefix], what=what, index=task.index)
    return named.found


class _Named:
    """Components under the names of one format, as they are added."""

    def __init__(self, source: Source, format_: str) -> None:
        self.path, self.format = source.opened.path, format_
        self._has_ids = source.format == OWN_FORMAT
        self.found: Tensors = {}
        self._owners: dict[str, str] = {}

    def add(
        self,
        prefix: str,
        names: Sequence[TensorName],
        tensors: Mapping[str, Tensor],
        *,
        what: str,
        adapter: bool = False,
        index: int = 0,
    ) -> None:
        """Add a component that messages call ``what``."""
        own: dict[str, Tensor] = {}
        for row in names:
            if row.canonical not in tensors:
                continue  # tied, or absent from the checkpoint
            name = row.stored.get(self.format, "").replace("{task}", str(index))
            if self.format == OWN_FORMAT:
                name = row.canonical
            elif not name:
                raise self._nameless(what, row.canonical, adapter=adapter)
            elif self._owners.setdefault(name, what) != what:
                raise self._crowded(name, what)
            value = tensors[row.canonical]
            own[name] = value.t().contiguous() if self.format in row.transposed else value
        self.found[prefix] = own

    def _nameless(self, what: str, tensor: str, *, adapter: bool) -> CheckpointError:
        why = "" if adapter else f": no name for its {tensor}"
        remedy = "  LoRA and its like can go into the encoder's weights: --merge\n"
        return CheckpointError(
            f"{self.path}: {self.format} has no place for {what}{why}\n"
            + (remedy if adapter else "")
            + "  leave heads and adapters out: --encoder-only\n"
            "  keep everything: --to bertmod"
        )

    def _crowded(self, name: str, what: str) -> CheckpointError:
        choose = "choose one: --task ID"
        if not self._has_ids:
            choose = "give its tasks ids first, --to bertmod, then choose one of them: --task ID"
        return CheckpointError(
            f"{self.path}: {self.format} has one place for {self._owners[name]} and {what}: "
            f'both would be called "{name}"\n'
            f"  {choose}\n  keep everything: --to bertmod"
        )


def without_absent(report: LoadReport) -> tuple[LoadReport, tuple[str, ...]]:
    """A report without what the file lacks, which nothing built afresh; and a note on that."""
    if not report.initialised:
        return report, ()
    lacking = listed(report.initialised)
    note = f"the file has no {lacking}; nothing in it needs them, and the copy has none either"
    return replace(report, initialised=()), (note,)


def task_labels(task: SourceTask) -> tuple[str, ...] | None:
    """Names of a head's labels: the file's, else the head's own, else their numbers from 0."""
    own: tuple[str, ...] | None = task.head.spec.labels
    if task.info.labels is not None or task.num_labels is None:
        return task.info.labels
    if own is not None and len(own) == task.num_labels:
        return own
    return tuple(map(str, range(task.num_labels)))
