"""Options of projected attention layers and what follows from them without a tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import Field

from bertmod import ComponentConfig, EncoderShape, Problem, TensorName

SHARED = "shared"
"""Key of the one pair of projections that all layers use."""

SITE_KINDS = ("delta", "block")


class PalsConfig(ComponentConfig):
    """Options of ``pals``."""

    bottleneck_size: int = Field(
        204, gt=0, description="Width of the small attention, units; num_heads divides it."
    )
    num_heads: int = Field(6, gt=0, description="Attention heads inside the bottleneck.")
    share_projections: bool = Field(
        True,
        description="One projection into and one out of the bottleneck per task, used by all its "
        "layers; false: one pair per layer.",
    )
    hidden_act: Literal["gelu", "gelu_tanh", "relu"] = Field(
        "gelu", description="Activation after the projection out of the bottleneck."
    )
    attention_probs_dropout_prob: float = Field(
        0.1, ge=0, lt=1, description="Dropout of attention weights, in [0, 1)."
    )
    site: str = Field(
        "layer_residual",
        description="Where it acts: a delta or block site of the encoder; its output is added "
        "to the site's.",
    )


def acting_layers(site: str, shape: EncoderShape, layers: tuple[int, ...]) -> tuple[int, ...]:
    """The layers at which an adapter is called: the chosen ones, or 0 at the encoder's ends."""
    return (0,) if site in shape.end_sites else layers


def sites(
    config: PalsConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> Mapping[str, tuple[int, ...]]:
    """Its one site and the layers there."""
    return {config.site: acting_layers(config.site, shape, layers)}


def widths(config: PalsConfig, shape: EncoderShape) -> tuple[int, int]:
    """Widths into and out of the site, units."""
    site = shape.sites[config.site]
    return site.in_width, site.out_width


def num_parameters(config: PalsConfig, shape: EncoderShape, layers: tuple[int, ...]) -> int:
    """Parameters of one task: the projections, and three square matrices per layer, with biases."""
    size, (width_in, width_out) = config.bottleneck_size, widths(config, shape)
    count = len(acting_layers(config.site, shape, layers))
    pairs = 1 if config.share_projections else count
    projections = size * width_in + size + size * width_out + width_out
    return pairs * projections + count * 3 * (size * size + size)


def check(config: PalsConfig, shape: EncoderShape, layers: tuple[int, ...]) -> tuple[Problem, ...]:
    """Heads divide the bottleneck; the site is of a kind to add to.

    A site that the encoder lacks is not named here: that check is the same for all adapters.
    """
    del layers
    problems = []
    size, heads = config.bottleneck_size, config.num_heads
    if size % heads:
        below = size // heads * heads
        near = f"{below} or {below + heads}" if below else str(heads)
        divisors = ", ".join(str(n) for n in range(1, size + 1) if size % n == 0)
        problems.append(
            Problem(
                "num_heads",
                f"{heads} heads do not divide bottleneck_size {size}",
                (f"accepted: {divisors}", f"or a bottleneck_size of {near}"),
            )
        )
    site = shape.sites.get(config.site)
    if site is not None and site.kind not in SITE_KINDS:
        known = ", ".join(name for name, each in shape.sites.items() if each.kind in SITE_KINDS)
        problems.append(
            Problem(
                "site",
                f'"{config.site}" is a {site.kind} site, where nothing can be added',
                (f"accepted: {known}",),
            )
        )
    return tuple(problems)


def names(
    config: PalsConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[TensorName, ...]:
    """A row for every tensor.

    Bert-n-Pals knows shared projections beside the last residual alone. It lists them once for
    the encoder and again in every layer.
    """
    size, (width_in, width_out) = config.bottleneck_size, widths(config, shape)
    acting = acting_layers(config.site, shape, layers)
    known = config.site == "layer_residual" and config.share_projections
    rows: list[TensorName] = []
    for key in (SHARED,) if config.share_projections else map(str, acting):
        for name, stored, pair in (
            ("down", "aug_dense", (size, width_in)),
            ("up", "aug_dense2", (width_out, size)),
        ):
            rows.extend(_projection(f"{name}.{key}", pair, stored if known else None, acting))
    for layer in acting:
        rows.extend(_attention(layer, size, known=known))
    return tuple(rows)


def _projection(
    canonical: str, shape: tuple[int, int], stored: str | None, layers: tuple[int, ...]
) -> Iterator[TensorName]:
    for kind, lengths in (("weight", shape), ("bias", shape[:1])):
        if stored is None:
            yield TensorName(f"{canonical}.{kind}", lengths, {})
            continue
        copies = tuple(
            f"encoder.layer.{layer}.multi_layers.{{task}}.{stored}.{kind}" for layer in layers
        )
        yield TensorName(
            f"{canonical}.{kind}",
            lengths,
            {"bert_n_pals": f"encoder.mult_{stored}.{{task}}.{kind}"},
            copies={"bert_n_pals": copies},
        )


def _attention(layer: int, size: int, *, known: bool) -> Iterator[TensorName]:
    there = f"encoder.layer.{layer}.multi_layers.{{task}}.attn"
    for place, name in enumerate(("query", "key", "value")):
        for kind, lengths in (("weight", (size, size)), ("bias", (size,))):
            yield TensorName(
                f"{name}.{layer}.{kind}",
                lengths,
                {"bert_n_pals": f"{there}.{name}.{kind}"} if known else {},
                fused=(f"qkv.{layer}.{kind}", place),
            )
