"""Options of bottleneck adapters and what follows from them without a tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from pydantic import Field

from bertmod import ComponentConfig, EncoderShape, Problem, SiteKind, TensorName
from bertmod.builtin.adapters.placement import acting_layers, kind_problems, widths
from bertmod.builtin.adapters.tensor_rows import pair

STORED_AT = {
    ("attention_output", False): "encoder.layer.{layer}.attention.output.multi_layers.{{task}}",
    ("ffn_output", True): "encoder.layer.{layer}.output.multi_layers.{{task}}",
}
"""(site, parallel) to where Bert-n-Pals keeps what acts there in a layer."""


class BottleneckConfig(ComponentConfig):
    """Options of ``bottleneck``."""

    bottleneck_size: int = Field(64, gt=0, description="Width of each bottleneck, units.")
    hidden_act: Literal["gelu", "gelu_tanh", "relu"] = Field(
        "gelu", description="Activation inside the bottleneck."
    )
    sites: tuple[str, ...] = Field(
        ("attention_output", "ffn_output"),
        description="Block sites that get a bottleneck each; none leaves layer_norms alone.",
    )
    parallel: tuple[str, ...] = Field(
        (),
        description="Those of its sites whose bottleneck reads the block's input; at the others "
        "it reads the block's output, as in the paper. Bert-n-Pals has ffn_output here.",
    )
    init_scale: float | None = Field(
        1e-3,
        gt=0,
        description="Standard deviation of the normal distribution, cut off at twice that, that "
        "its weights are drawn from, unitless, above 0; biases are 0. Null: as the recipe's other "
        "weights.",
    )
    layer_norms: tuple[str, ...] = Field(
        (),
        description="Norm sites (attention_norm, output_norm) whose LayerNorms become the task's "
        "own, starting as copies of the encoder's.",
    )


def sites(
    config: BottleneckConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> Mapping[str, tuple[int, ...]]:
    """Its sites and the layers there."""
    every = (*config.sites, *config.layer_norms)
    return {site: acting_layers(site, shape, layers) for site in every}


def input_width(config: BottleneckConfig, site: str, shape: EncoderShape) -> int:
    """Width of what the bottleneck of a site reads, units."""
    width_in, width_out = widths(site, shape)
    return width_in if site in config.parallel else width_out


def num_parameters(config: BottleneckConfig, shape: EncoderShape, layers: tuple[int, ...]) -> int:
    """Parameters of one task: two projections per site and layer, with biases; its LayerNorms."""
    size, total = config.bottleneck_size, 0
    for site in config.sites:
        width_in, width_out = input_width(config, site, shape), widths(site, shape)[1]
        one = size * width_in + size + size * width_out + width_out
        total += len(acting_layers(site, shape, layers)) * one
    for site in config.layer_norms:
        total += len(acting_layers(site, shape, layers)) * 2 * widths(site, shape)[1]
    return total


def check(
    config: BottleneckConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[Problem, ...]:
    """Sites are of the right kind, named once, and there are some; parallel ones are its sites."""
    del layers
    if not config.sites and not config.layer_norms:
        return (Problem("sites", "neither a site nor a LayerNorm: it would do nothing"),)
    problems = [
        *_list_problems("sites", config.sites, shape, "block", "; a bottleneck goes to a block"),
        *_list_problems("layer_norms", config.layer_norms, shape, "norm", ", not a LayerNorm"),
    ]
    accepted = f"accepted: {', '.join(config.sites) or 'none'}"
    for index, site in enumerate(config.parallel):
        if site not in config.sites:
            what = f'"{site}" is not one of its sites'
            problems.append(Problem(f"parallel[{index}]", what, (accepted,)))
    return tuple(problems)


def names(
    config: BottleneckConfig, shape: EncoderShape, layers: tuple[int, ...]
) -> tuple[TensorName, ...]:
    """A row for every tensor.

    Bert-n-Pals knows a serial bottleneck behind the attention and a parallel one beside the
    feed-forward layers.
    """
    size, rows = config.bottleneck_size, list[TensorName]()
    for site in config.sites:
        stored = STORED_AT.get((site, site in config.parallel))
        width_in, width_out = input_width(config, site, shape), widths(site, shape)[1]
        for layer in acting_layers(site, shape, layers):
            there = stored.format(layer=layer) if stored else None
            down, up = (f"{there}.aug_dense", f"{there}.aug_dense2") if there else (None, None)
            rows.extend(pair(f"down.{site}.{layer}", (size, width_in), down))
            rows.extend(pair(f"up.{site}.{layer}", (width_out, size), up))
    for site in config.layer_norms:
        for layer in acting_layers(site, shape, layers):
            rows.extend(pair(f"norm.{site}.{layer}", (widths(site, shape)[1],), None))
    return tuple(rows)


def _list_problems(
    option: str, listed: Sequence[str], shape: EncoderShape, kind: SiteKind, instead: str
) -> Iterator[Problem]:
    """Sites of another kind, and sites named twice."""
    for index, site in enumerate(listed):
        path = f"{option}[{index}]"
        yield from kind_problems(path, site, shape, kinds=(kind,), instead=instead)
        if site in listed[:index]:
            yield Problem(path, f'"{site}" is named twice', ("leave one of the two",))
