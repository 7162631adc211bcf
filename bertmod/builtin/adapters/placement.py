"""Where adapters act, and what of that can be wrong, without a tensor."""

from __future__ import annotations

from collections.abc import Collection

from bertmod import EncoderShape, Problem, SiteKind

ADDING: tuple[SiteKind, ...] = ("delta", "block")
"""Kinds of site where a sum is formed, so that something can be added."""


def acting_layers(site: str, shape: EncoderShape, layers: tuple[int, ...]) -> tuple[int, ...]:
    """The layers at which an adapter is called: the chosen ones, or 0 at the encoder's ends."""
    return (0,) if site in shape.end_sites else layers


def widths(site: str, shape: EncoderShape) -> tuple[int, int]:
    """Widths into and out of a site, units."""
    found = shape.sites[site]
    return found.in_width, found.out_width


def kind_problems(
    path: str, site: str, shape: EncoderShape, *, kinds: Collection[SiteKind], instead: str
) -> tuple[Problem, ...]:
    """The problem of a site of the wrong kind.

    A site that the encoder lacks is not named here: that check is the same for all adapters.

    Args:
        path: The option that names the site.
        site: Name of the site.
        shape: The encoder's shape.
        kinds: Kinds that suit the adapter.
        instead: How the sentence about another kind ends: ``, where nothing can be added``.
    """
    found = shape.sites.get(site)
    if found is None or found.kind in kinds:
        return ()
    known = ", ".join(name for name, each in shape.sites.items() if each.kind in kinds)
    what = f'"{site}" is a {found.kind} site{instead}'
    return (Problem(path, what, (f"accepted: {known or 'none of this encoder'}",)),)


def head_problems(heads: int, size: int) -> tuple[Problem, ...]:
    """The problem of ``num_heads`` attention heads that do not divide ``bottleneck_size``."""
    if size % heads == 0:
        return ()
    below = size // heads * heads
    near = f"{below} or {below + heads}" if below else str(heads)
    divisors = ", ".join(str(n) for n in range(1, size + 1) if size % n == 0)
    return (
        Problem(
            "num_heads",
            f"{heads} heads do not divide bottleneck_size {size}",
            (f"accepted: {divisors}", f"or a bottleneck_size of {near}"),
        ),
    )
