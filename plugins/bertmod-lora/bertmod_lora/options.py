"""Options of the two adapters, and what follows from them without a tensor."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from pydantic import Field

from bertmod import ComponentConfig, EncoderShape, Problem

FFN_ACTIVATION = "ffn_activation"


class LoraConfig(ComponentConfig):
    """Options of ``lora``."""

    rank: int = Field(8, gt=0, description="Rank of each update, units, at least 1.")
    alpha: float = Field(
        8.0,
        gt=0,
        allow_inf_nan=False,
        description="An update is multiplied by alpha / rank; unitless, above 0.",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout of what goes into an update, in [0, 1)."
    )
    sites: tuple[str, ...] = Field(
        ("query", "value"),
        min_length=1,
        description="Projection sites of the encoder that get an update, at least one.",
    )
    init: Literal["kaiming", "normal"] = Field(
        "kaiming",
        description="How the matrix A starts: kaiming, uniform in +-1/sqrt(width into the site), "
        "as the authors' program; normal, with standard deviation 1/rank. B starts at 0.",
    )


class Ia3Config(ComponentConfig):
    """Options of ``ia3``."""

    sites: tuple[str, ...] = Field(
        ("key", "value", FFN_ACTIVATION),
        min_length=1,
        description="Projection or block sites of the encoder whose output is scaled, at least "
        "one. Those that merge are the projections and ffn_activation.",
    )


def sites(
    config: LoraConfig | Ia3Config, shape: EncoderShape, layers: tuple[int, ...]
) -> Mapping[str, tuple[int, ...]]:
    """The chosen sites, each in every chosen layer."""
    del shape
    return dict.fromkeys(config.sites, layers)


def num_lora_parameters(config: LoraConfig, shape: EncoderShape, layers: tuple[int, ...]) -> int:
    """Parameters of one task: per site and layer, ``rank * (in width + out width)``."""
    widths = (shape.sites[site] for site in config.sites)
    return len(layers) * sum(config.rank * (each.in_width + each.out_width) for each in widths)


def num_ia3_parameters(config: Ia3Config, shape: EncoderShape, layers: tuple[int, ...]) -> int:
    """Parameters of one task: one per unit of each site's output and layer."""
    return len(layers) * sum(shape.sites[site].out_width for site in config.sites)


def check_lora(
    config: LoraConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[Problem, ...]:
    """Updates go to projections, one each."""
    del layers
    return tuple(_problems(config.sites, shape, {"projection"}, "an update needs a projection"))


def check_ia3(
    config: Ia3Config, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[Problem, ...]:
    """Scales go to sites that are in every layer and always have an output."""
    del layers
    why = "a scale needs a projection or a block inside the layers"
    return tuple(_problems(config.sites, shape, {"projection", "block"}, why))


def _problems(
    chosen: tuple[str, ...], shape: EncoderShape, kinds: Collection[str], why: str
) -> Iterator[Problem]:
    """What is wrong with a choice of sites; sites that the encoder lacks are bertmod's to name."""
    accepted = [
        name
        for name, site in shape.sites.items()
        if site.kind in kinds and name not in shape.end_sites
    ]
    for place, name in enumerate(chosen):
        if name in chosen[:place]:
            yield Problem(f"sites[{place}]", f'"{name}" is listed twice')
        elif name in shape.sites and name not in accepted:
            what = f'"{name}" is a {shape.sites[name].kind} site, and {why}'
            if name in shape.end_sites:
                what = f'"{name}" lies outside the layers, and {why}'
            yield Problem(f"sites[{place}]", what, (f"accepted: {', '.join(accepted)}",))
