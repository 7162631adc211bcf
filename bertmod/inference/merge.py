"""One adapter file from several of one kind."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from bertmod import __version__
from bertmod.assemble.components import build_task, task_components
from bertmod.data.new_folder import new_folder, require_new
from bertmod.errors import CheckpointError, DataError
from bertmod.inference.adapter_files import (
    require_adapter_file,
    require_finite,
    short,
    task_recipe,
)
from bertmod.inference.resident import ResidentEncoder, load_encoder
from bertmod.model.canonical import canonical_tensors
from bertmod.model.folder import read_task, write_task
from bertmod.model.record import ENCODER_FILE, TaskRecord
from bertmod.recipe.schema import InitKeys
from bertmod.registry import Registry
from bertmod.wording import counted

Method = Literal["average", "arithmetic"]
METHODS: tuple[Method, ...] = get_args(Method)

HEAD = "head."


@dataclass(frozen=True)
class _Source:
    folder: Path
    record: TaskRecord
    tensors: Mapping[str, Tensor]
    coefficient: float

    def part(self, *, head: bool) -> dict[str, Tensor]:
        """The tensors of the head, or those of the adapters."""
        return {name: t for name, t in self.tensors.items() if name.startswith(HEAD) is head}


def merge_adapters(
    folders: Sequence[Path | str],
    *,
    output: Path | str,
    weights: Sequence[float] | None = None,
    method: Method = "average",
    head: str | None = None,
    base: Path | str | None = None,
    registry: Registry | None = None,
) -> TaskRecord:
    """Write a new adapter file made of several whose adapters are of one kind.

    ``average`` takes the mean of each tensor, ``weights`` divided by their sum. ``arithmetic``
    takes ``start + sum of weight * (tensor - start)``, the weights as they are. ``start`` is what
    an adapter begins with wherever that is the same for every seed (the encoder's own values for
    LayerNorms, zeros for biases and scales), and 0 where it is drawn at random: there the sum is
    the plain linear combination. If the weights sum to 1, both methods are the same.

    Which tensors an adapter has is known with its encoder alone: one that every file lacks is
    found here if ``start`` is needed or ``base`` given, else when the merged file is loaded.

    Args:
        folders: Folders of tasks, two at least, all trained with one encoder.
        output: The folder to write; it must not exist.
        weights: One number per folder; None: equal ones for ``average``, 1 each for
            ``arithmetic``. Those of ``average`` are positive or 0.
        method: ``average`` or ``arithmetic``.
        head: Folder, or id of its task, whose head is taken as it is, and whose task the new one
            is. None merges the heads as well, which takes equal label names, and makes the first
            folder's task of it.
        base: Run folder or folder of the encoder; only ``arithmetic`` with weights that do not
            sum to 1 needs it. None looks where a run keeps it, if it is needed.
        registry: What is installed; None looks.

    Returns:
        What the new folder says of itself.

    Raises:
        CheckpointError: If a folder is damaged, or they do not fit together: another encoder,
            kind, options, initial values or shapes; or values that are not finite.
        DataError: If weights, head or output cannot be used.

    Source: averaging: Wortsman et al. 2022, arXiv:2203.05482; task arithmetic: Ilharco et al.
    2022, arXiv:2212.04089, for adapters Zhang et al. 2023, arXiv:2306.14870.
    """
    target = Path(output)
    require_new(target)
    sources = _read([Path(folder) for folder in folders], weights, method)
    owner = sources[0] if head is None else _named(sources, head)
    _check_alike(sources, heads=head is None)
    start = _start(sources, owner, base=base, registry=registry)
    tensors = _combined(sources, start, head=False)
    tensors |= _combined(sources, start, head=True) if head is None else owner.part(head=True)
    record = _record(owner, sources)
    with new_folder(target) as writing:
        write_task(writing, record, tensors, version=__version__)
    return record


def _record(owner: _Source, sources: Sequence[_Source]) -> TaskRecord:
    """The owner's record, with what came of the merge in place of what came of its training."""
    return replace(
        owner.record,
        score=None,
        step=0,
        recipe_hash="",
        merged_from=tuple(_origin(source) for source in sources),
        data={name: found for each in sources for name, found in each.record.data.items()},
        synthetic=any(source.record.synthetic for source in sources),
    )


def _read(folders: Sequence[Path], weights: Sequence[float] | None, method: str) -> list[_Source]:
    if method not in METHODS:
        raise DataError(f'no method "{method}"; there is: {", ".join(METHODS)}')
    if len(folders) < 2:
        raise DataError(f"merging takes two adapter files at least, not {len(folders)}")
    given = [1.0] * len(folders) if weights is None else [float(weight) for weight in weights]
    if len(given) != len(folders):
        raise DataError(f"{counted(len(given), 'weight')} for {len(folders)} adapter files")
    if not all(map(math.isfinite, given)):
        raise DataError("weights must be finite numbers")
    if method == "average":
        if min(given) < 0 or sum(given) == 0:
            raise DataError(
                "weights of an average are positive or 0, and not all 0\n"
                "  to take an adapter away, use the method arithmetic"
            )
        given = [weight / sum(given) for weight in given]
    for folder in folders:
        require_adapter_file(folder)
    sources = [
        _Source(folder, *read_task(folder), weight)
        for folder, weight in zip(folders, given, strict=True)
    ]
    for source in sources:
        require_finite(source.folder, source.tensors)
    return sources


def _named(sources: Sequence[_Source], head: str) -> _Source:
    path = Path(head)
    found = [each for each in sources if each.folder == path or each.record.id == head]
    if len(found) == 1:
        return found[0]
    what = "none" if not found else f"{len(found)}"
    known = ", ".join(f"{each.record.id} ({each.folder})" for each in sources)
    raise DataError(f'head "{head}": {what} of the adapter files is called so\n  there is: {known}')


def _check_alike(sources: Sequence[_Source], *, heads: bool) -> None:
    first = sources[0]
    for other in sources[1:]:
        pair = f"{first.folder} and {other.folder} cannot be merged"
        one, two = first.record, other.record
        if one.encoder_hash != two.encoder_hash:
            hashes = f"{short(one.encoder_hash)} and {short(two.encoder_hash)}"
            raise CheckpointError(f"{pair}: they belong to different encoders\n  {hashes}")
        if difference := _difference(_slots(one), _slots(two)):
            raise CheckpointError(f"{pair}: their adapters are not of one kind\n  {difference}")
        if difference := _difference([_started(one)], [_started(two)]):
            raise CheckpointError(f"{pair}: they started in different ways\n  {difference}")
        _check_shapes(pair, first.part(head=False), other.part(head=False))
        if not heads:
            continue
        if one.info.labels != two.info.labels or one.info.value_range != two.info.value_range:
            raise CheckpointError(
                f"{pair} with their heads: {_meaning(one)} and {_meaning(two)}\n"
                "  say which head the merged adapter gets: "
                + " or ".join(f"--head {each.record.id}" for each in (first, other))
            )
        if difference := _difference([one.head], [two.head]):
            raise CheckpointError(f"{pair}: their heads are not of one kind\n  {difference}")
        _check_shapes(pair, first.part(head=True), other.part(head=True))


def _slots(record: TaskRecord) -> list[Mapping[str, Any]]:
    return [{key: slot[key] for key in slot if key != "tasks"} for slot in record.adapters]


def _started(record: TaskRecord) -> Mapping[str, Any]:
    """How fresh parameters began, with the defaults that earlier files leave out."""
    return {"name": "init", **InitKeys().model_dump(mode="json"), **record.init}


def _difference(one: Sequence[Mapping[str, Any]], two: Sequence[Mapping[str, Any]]) -> str:
    """The first thing in which slots differ; empty if there is none."""
    if [slot.get("name") for slot in one] != [slot.get("name") for slot in two]:
        names = [" + ".join(str(slot.get("name")) for slot in slots) for slots in (one, two)]
        return " and ".join(name or "none" for name in names)
    for a, b in zip(one, two, strict=True):
        for key in dict.fromkeys((*a, *b)):
            if a.get(key) != b.get(key):
                return f"{a.get('name')}: {key} {a.get(key)} and {b.get(key)}"
    return ""


def _check_shapes(pair: str, one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> None:
    if lacking := sorted(one.keys() ^ two.keys()):
        raise CheckpointError(f"{pair}: only one of them has {', '.join(lacking)}")
    for name, tensor in one.items():
        if tensor.shape != two[name].shape:
            shapes = f"{tuple(tensor.shape)} and {tuple(two[name].shape)}"
            raise CheckpointError(f"{pair}: {name} is {shapes}")


def _meaning(record: TaskRecord) -> str:
    if record.info.labels is not None:
        return f"{record.id} has the labels {', '.join(record.info.labels)}"
    low, high = record.info.value_range or (-math.inf, math.inf)
    return f"{record.id} gives values from {low:g} to {high:g}"


def _start(
    sources: Sequence[_Source],
    owner: _Source,
    *,
    base: Path | str | None,
    registry: Registry | None,
) -> Mapping[str, Tensor]:
    """What tensors begin with wherever that does not depend on chance; no entry elsewhere."""
    total = math.fsum(source.coefficient for source in sources)
    cancels = math.isclose(total, 1.0, abs_tol=1e-9)
    if cancels and base is None:
        return {}
    place = base or _base_of(sources)
    encoder = load_encoder(place, registry=registry, device="cpu")
    if encoder.hash != owner.record.encoder_hash:
        raise CheckpointError(
            f"{place}: not the encoder that the adapter files belong to\n"
            f"  expected: {short(owner.record.encoder_hash)}\n  found: {short(encoder.hash)}"
        )
    with torch.random.fork_rng(devices=[]):
        one, two = (_fresh(owner.record, encoder, seed=seed) for seed in (1, 2))
    if lacking := sorted(one.keys() - owner.tensors.keys()):
        raise CheckpointError(f"{owner.folder}: damaged: it lacks {', '.join(lacking)}")
    if cancels:
        return {}
    return {name: tensor for name, tensor in one.items() if torch.equal(tensor, two[name])}


def _base_of(sources: Sequence[_Source]) -> Path:
    """Where a run keeps the encoder of a task's folder."""
    for source in sources:
        state = source.folder.absolute().parent
        for place in (state / "encoder", state.parent / "encoders" / source.record.encoder_hash):
            if (place / ENCODER_FILE).is_file():
                return place
    raise DataError(
        "weights that do not sum to 1 move an adapter away from where it started, and that takes "
        "the encoder\n  name its run or folder with --base"
    )


def _fresh(record: TaskRecord, base: ResidentEncoder, *, seed: int) -> dict[str, Tensor]:
    """The tensors of a task before any training, under the names of its folder."""
    recipe = task_recipe(record, base, record.id, title=f"task {record.id}")
    recipe = replace(recipe, seed=seed)
    (slot,) = recipe.tasks
    adapters, head = build_task(recipe, slot, base.encoder, record.info)
    found: dict[str, Tensor] = {}
    for part in task_components(recipe, slot, adapters, head):
        assert part.module is not None
        found |= canonical_tensors(part.module, part.names, prefix=f"{part.stored_prefix}.")
    return found


def _combined(
    sources: Sequence[_Source], start: Mapping[str, Tensor], *, head: bool
) -> dict[str, Tensor]:
    """Sum of coefficient times tensor, in float64, counted from the start."""
    combined = {}
    for name in sources[0].part(head=head):
        origin = start[name].double() if name in start else 0.0
        total = sum(
            (source.coefficient * (source.tensors[name].double() - origin) for source in sources),
            start=torch.zeros((), dtype=torch.float64),
        )
        combined[name] = (total + origin).float()
    return combined


def _origin(source: _Source) -> dict[str, Any]:
    record = source.record
    return {
        "id": record.id,
        "coefficient": source.coefficient,
        "recipe_hash": record.recipe_hash,
        "metric": record.metric,
        "score": record.score,
        "step": record.step,
    }
