"""Calling adapters at the sites of an encoder."""

from __future__ import annotations

from torch import Tensor

from bertmod.contracts.encoder import SiteCalls


class NoSites:
    """Site calls of a batch without adapters."""

    def uses(self, site: str, layer: int) -> bool:
        """Always false."""
        del site, layer
        return False

    def token_wise(self, site: str, layer: int) -> bool:
        """Always true."""
        del site, layer
        return True

    def __call__(self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None) -> Tensor:
        """Raises: nobody acts anywhere.

        Raises:
            ValueError: Always.
        """
        del x_TI, y_TO
        raise ValueError(f'no adapter acts at site "{site}" of layer {layer}')


NO_SITES = NoSites()


def visit(sites: SiteCalls, site: str, layer: int, *, x_TI: Tensor, y_TO: Tensor) -> Tensor:
    """What becomes of a site's output.

    Args:
        sites: The adapters of the batch.
        site: Name of the site, of any kind but delta.
        layer: Layer, from 0.
        x_TI: Input of the site, (tokens, in width).
        y_TO: Output of the site, (tokens, out width).

    Returns:
        (tokens, out width), of y's dtype; ``y_TO`` itself where nobody acts.
    """
    return sites(site, layer, x_TI, y_TO) if sites.uses(site, layer) else y_TO
