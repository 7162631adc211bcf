"""What an adapter is: one task's small module, called at sites of the shared encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

    from bertmod.contracts.batch import BatchContext
    from bertmod.contracts.encoder import EncoderShape

Projection = Callable[[str, int], "tuple[Tensor, Tensor]"]
"""(projection site, layer) to views of the weight [O, I] and the bias [O] behind it."""


@dataclass(frozen=True)
class AdapterContext:
    """What an adapter's builder gets beside its options; it runs once per task.

    Attributes:
        task: Id of the task that the adapter will belong to.
        shape: The encoder's shape.
        layers: The layers that the recipe chose, ascending, from 0.
        new_layer: Makes a fresh encoder layer for layers on top: ``layer(x_TH, context)``.
        weights: Copies of weight and bias behind a projection site, or of gain and offset behind
            a norm site, after any checkpoint was loaded.
        init: Puts the recipe's initial values into the linear layers, embeddings and LayerNorms
            inside a module; its other parameters keep theirs.
    """

    task: str
    shape: EncoderShape
    layers: tuple[int, ...]
    new_layer: Callable[[], Module]
    weights: Callable[[str, int], tuple[Tensor, ...]]
    init: Callable[[Module], None]


class Adapter(Protocol):
    """A torch module that belongs to one task and acts at sites of the encoder.

    Attributes:
        sites: At which sites it acts, and in which layers there.
        replaces: (site, layer) pairs whose y it ignores: the encoder's parameters there are idle.
    """

    @property
    def sites(self) -> Mapping[str, tuple[int, ...]]: ...
    @property
    def replaces(self) -> frozenset[tuple[str, int]]: ...

    def __call__(
        self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None, context: BatchContext
    ) -> Tensor:
        """The new y of a site.

        Args:
            site: Name of the site.
            layer: Layer, from 0.
            x_TI: Input of the site, (tokens, in width), compute dtype; not written to.
            y_TO: Output of the site so far, (tokens, out width); None at a delta site where no
                adapter has acted; not written to, possibly not contiguous.
            context: Row layout, attention and dropout.

        Returns:
            (tokens, out width), any floating dtype: the caller casts it to y's.
        """
        ...

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]: ...


@runtime_checkable
class TokenWiseAdapter(Protocol):
    """What an ``Adapter`` has beside its other methods if no token's new y depends on others.

    An encoder may call it with some of a batch's tokens, those that somebody needs; of the context
    it then reads ``dropout`` and ``training`` alone.

    Attributes:
        token_wise: Whether that is so.
    """

    @property
    def token_wise(self) -> bool: ...


@runtime_checkable
class MergeableAdapter(Protocol):
    """What an ``Adapter`` has beside its other methods if the encoder's weights can take it in.

    An encoder whose weights took in all of a task's adapters gives what the encoder gives with
    these adapters, at the encoder's own cost.
    """

    def merge(self, site: str, layer: int, projection: Projection) -> None:
        """Change weights so that the encoder does by itself what the adapter does at one place.

        It is called once for each of the adapter's sites and layers, without gradient: the last
        site of ``EncoderShape.sites`` first, and at a site in the order in which the task's
        adapters act. So it finds weights that have taken in whatever acts later on the way
        through the layer, and whatever acted before at the same site.

        Which weights to change is the adapter's to know. At a projection site they are the
        site's own, ``projection(site, layer)``. At another site they are those of a projection
        that reads the site's y and nothing else: a scale at ``ffn_activation`` belongs in the
        columns of ``projection("ffn_down", layer)``.

        Args:
            site: One of the adapter's sites.
            layer: One of its layers there, from 0.
            projection: Gives weight and bias behind any projection site of the copy, fp32,
                unfused, to be changed in place.

        Raises:
            ValueError: If this cannot be merged at that site; says why.
        """
        ...


@runtime_checkable
class GroupableAdapter(Protocol):
    """What an ``Adapter`` class has if adapters of several tasks can act in one call.

    By default each task's adapter gets the tokens of its own rows. A class whose many small calls
    cost more than one large one may offer this beside it; both must give the same.
    """

    @property
    def sites(self) -> Mapping[str, tuple[int, ...]]: ...

    @classmethod
    def group(cls, adapters: Mapping[int, Adapter]) -> Adapter | None:
        """An adapter that does to each row what the adapter of the row's task does.

        It is asked for at inference alone, for each batch of several tasks, so it should copy
        little. It must act at the same sites. What it needs to know of a batch is
        ``BatchContext.task_of_row_R``, and ``pad`` to lay tokens out as rows.

        Args:
            adapters: Task number, as ``task_of_row_R`` has it, to that task's adapter; all of
                this class, with the same sites, and possibly with other options.

        Returns:
            The adapter; None if these cannot act as one.
        """
        ...
