"""Models that the processes of a run hold in parts: torch's FSDP2.

Every process keeps a share of each parameter, with its gradient and its optimizer state. A group
of parameters is put together for its forward and once more for its backward pass: each of the
encoder's blocks is one, and the root group has the rest, which is embeddings, adapters and heads.
Adapters act inside the blocks, so the root group stays together for the whole forward; behind it
its parts are all that is left, as with any other group. torch would keep the root group whole
until the backward pass, but a forward without one would leave it so, and what then moves the
parts (an optimizer, a weight average, a checkpoint) would not reach the next forward. Only while
answers are made nothing moves them, and it stays: see ``kept_together``.

``DTensor`` is torch's class of tensors in parts. It takes half a second to import, so runs
without FSDP look for its ``to_local`` instead.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from bertmod.contracts.encoder import Encoder
from bertmod.engine.allocation import give_back_freed_memory
from bertmod.engine.ema import WeightAverage
from bertmod.engine.offload import Offload, settled_offload
from bertmod.engine.parallel import Ranks
from bertmod.engine.settings import Parallel
from bertmod.errors import Problem, RecipeError
from bertmod.model.multitask import MultiTaskModel

OLDEST_TORCH = "2.13"
"""The first torch whose FSDP2 is known to find tensors in the dataclasses that heads return."""


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is held in parts."""
    return hasattr(tensor, "to_local")


def own_parts(tensors: Iterable[Tensor]) -> list[Tensor]:
    """What this process holds of tensors: the memory itself, so that writing to it counts."""
    return [
        cast(Any, each.detach()).to_local() if is_sharded(each) else each.detach()
        for each in tensors
    ]


@contextmanager
def kept_together(model: Module) -> Iterator[None]:
    """Within the block what a forward puts together of the root group stays so until the end.

    Heads read their parameters when they decode, behind the forward; and batches that follow one
    another need not put the same together again. Nothing may move the parameters meanwhile.

    Args:
        model: A model in parts; any other is left alone.
    """
    if not any(map(is_sharded, model.parameters())):
        yield
        return
    group = cast(Any, model)
    group.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        group.set_reshard_after_forward(True, recurse=False)
        group.reshard()


class PlacedModel(Protocol):
    """A model that trains, and the whole model that is written.

    Attributes:
        model: What trains.
    """

    model: MultiTaskModel

    def shard(self, device: torch.device, offload: Offload | None) -> Offload | None:
        """Leave each process its part, once the model is on its device and set up.

        Returns:
            What of ``offload`` is still to be done.
        """
        ...

    def gather(self) -> None:
        """Bring the main process's whole model to the values that train; all processes call it."""
        ...


def placed_model(model: MultiTaskModel, parallel: Parallel, ranks: Ranks) -> PlacedModel:
    """The model to train.

    Args:
        model: The whole model.
        parallel: ``fsdp`` for a model in parts, anything else for ``model`` itself.
        ranks: The processes that share it.

    Raises:
        RecipeError: If FSDP cannot take the model, there is one process alone, or torch is too
            old for it.
    """
    return ShardedModel(model, ranks) if parallel == "fsdp" else WholeModel(model)


@contextmanager
def gathered(placed: PlacedModel, average: WeightAverage) -> Iterator[None]:
    """Within the block the main process's whole model is what is evaluated; all processes enter.

    Args:
        placed: The model that trains.
        average: Averages of it; where there are any, they are what is evaluated.
    """
    with average.applied(placed.model):
        placed.gather()
        yield


class WholeModel:
    """A model that each process has whole: what trains is what is written.

    Args:
        model: The model.
    """

    def __init__(self, model: MultiTaskModel) -> None:
        self.model = model

    def shard(self, device: torch.device, offload: Offload | None) -> Offload | None:
        """Nothing."""
        del device
        return offload

    def gather(self) -> None:
        """Nothing."""


class ShardedModel:
    """A model of which each process trains a part.

    The main process trains a copy, and keeps the model that it was given, in host memory, for
    what is written; what another process was given is itself taken apart.

    Args:
        model: The whole model, on the CPU.
        ranks: The processes that share it, at least two.

    Raises:
        RecipeError: If FSDP cannot take the model, there is one process alone, or torch is too
            old for it.
    """

    def __init__(self, model: MultiTaskModel, ranks: Ranks) -> None:
        _require_shardable(model, ranks)
        self._ranks = ranks
        self._whole = model if ranks.is_main else None
        self.model = copy.deepcopy(model) if ranks.is_main else model

    def shard(self, device: torch.device, offload: Offload | None) -> Offload | None:
        """Leave each process its part, once the model is on its device and set up.

        Gradients are summed, not averaged: losses are divided by counts of the whole batch. What
        has none in this process counts as zero, since it may have one in another.

        Args:
            device: Where the model is.
            offload: ``cpu``: on a GPU the parts are in host memory, and the optimizer steps there.

        Returns:
            What of ``offload`` is still to be done: nothing on a GPU.
        """
        from torch.distributed import fsdp
        from torch.distributed.device_mesh import init_device_mesh

        if device.type == "cpu":
            give_back_freed_memory()
        offloads = settled_offload(offload, device) is not None and device.type != "cpu"
        options: dict[str, Any] = {
            "mesh": init_device_mesh(device.type, (self._ranks.size,)),
            "reshard_after_forward": True,
            "offload_policy": fsdp.CPUOffloadPolicy() if offloads else fsdp.OffloadPolicy(),
        }
        for parameter in self.model.parameters():
            parameter.data = parameter.data.contiguous()  # FSDP2 takes no others
        for module in (*_block_groups(self.model), self.model):
            group = fsdp.fully_shard(module, **options)
            group.set_gradient_divide_factor(1.0)
            group.set_force_sum_reduction_for_comms(True)
            group.set_reduce_scatter_unused_params(True, recurse=False)
        # heads and layers may give views: nobody writes to these
        warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
        return None if offloads else offload

    @torch.no_grad()
    def gather(self) -> None:
        """Bring the main process's whole model to the values that train; all processes call it.

        Calibrations come along. One tensor at a time is put together.
        """
        whole = {} if self._whole is None else self._whole.state_dict()
        with self._ranks.messages():
            for name, part in self.model.state_dict().items():
                full = cast(Any, part).full_tensor() if is_sharded(part) else part
                if self._whole is not None:
                    whole[name].copy_(full)
        if self._whole is not None:
            for task in self._whole.tasks:
                self._whole.head(task).info = self.model.head(task).info


def _block_groups(model: MultiTaskModel) -> list[Module]:
    """The blocks that are groups of their own, those inside others first.

    A block that shares a parameter with what lies outside it stays in the root group, or that of
    the block around it: a parameter in two groups would become two.
    """
    blocks = {id(block) for block in cast(Encoder, model.encoder).blocks}
    places = _places(model)
    return [
        module
        for module in reversed(list(model.modules()))
        if id(module) in blocks
        and all(places[parameter] == count for parameter, count in _places(module).items())
    ]


def _places(module: Module) -> Counter[Parameter]:
    """In how many places of a module each of its parameters is."""
    return Counter(each for _, each in module.named_parameters(remove_duplicate=False))


def _require_shardable(model: Module, ranks: Ranks) -> None:
    problems = []
    if ranks.size == 1:
        what = '"fsdp" shares a model between processes, and there is one'
        problems.append((what, "start several: --nproc N, or torchrun"))
    if torch.__version__ < OLDEST_TORCH:
        what = f'"fsdp" needs torch {OLDEST_TORCH} or newer, and this is {torch.__version__}'
        problems.append((what, 'install it, or use "ddp"'))
    named = dict(model.named_parameters())
    if numbers := [name for name, each in named.items() if each.dim() == 0]:
        what = f'"fsdp" cuts parameters along their first axis, and {numbers[0]} has none'
        problems.append((what, 'give it the shape (1,), or use "ddp"'))
    dtypes = {name: str(each.dtype) for name, each in named.items() if each.requires_grad}
    if odd := [name for name, dtype in dtypes.items() if dtype != "torch.float32"]:
        what = f'"fsdp" trains fp32 parameters alone, and {odd[0]} is {dtypes[odd[0]]}'
        problems.append((what, 'make it torch.float32, or use "ddp"'))
    if problems:
        found = [Problem("training.parallel", what, (more,)) for what, more in problems]
        raise RecipeError("this run", found)
