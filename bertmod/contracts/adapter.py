"""What an adapter is: one task's small module, called at sites of the shared encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter

    from bertmod.contracts.batch import BatchContext
    from bertmod.contracts.encoder import EncoderShape


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
        init: Puts the recipe's initial values into a module's parameters.
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
