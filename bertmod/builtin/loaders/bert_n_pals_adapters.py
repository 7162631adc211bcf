"""The adapters of a Bert-n-Pals state dict, as a recipe would write them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bertmod import CheckpointError

SWITCHES = ("mult", "pals", "houlsby", "lhuc", "top", "bert_lay_top")
"""Keys of the configuration that choose adapters."""

PALS_HEADS = 6
TOP_HEADS = 12
"""Attention heads are fixed in the original's code."""

UNWANTED = "adapter that nobody asked for"
SKIPPED = {
    "encoder.multi_layers.[0-9]*.multi_lhuc.[1-9]*.lhuc": "never used: the layer on top scales "
    "by its first vector",
    "encoder.mult_aug_dense.[0-9]*": UNWANTED,
    "encoder.mult_aug_dense2.[0-9]*": UNWANTED,
    # These stand in the layer, in its attention's output and in its own output.
    "encoder.layer.[0-9]*.multi_layers.[0-9]*.aug_dense.*": UNWANTED,
    "encoder.layer.[0-9]*.multi_layers.[0-9]*.aug_dense2.*": UNWANTED,
    "encoder.layer.[0-9]*.multi_layers.[0-9]*.attn.query.*": UNWANTED,
    "encoder.layer.[0-9]*.multi_layers.[0-9]*.attn.key.*": UNWANTED,
    "encoder.layer.[0-9]*.multi_layers.[0-9]*.attn.value.*": UNWANTED,
    "encoder.layer.[0-9]*.multi_lhuc.[0-9]*.lhuc": UNWANTED,
    "encoder.mult_dense.[0-9]*": UNWANTED,
    "encoder.mult_dense2.[0-9]*": UNWANTED,
    "encoder.multi_layers.[0-9]*.self.*": UNWANTED,
    "encoder.multi_layers.[0-9]*.output.*": UNWANTED,
    "encoder.multi_layers.[0-9]*.intermediate.dense.*": UNWANTED,
    "encoder.multi_layers.[0-9]*.multi_lhuc.0.lhuc": UNWANTED,
}
"""Pattern of a name to the reason why such tensors may be left."""

LAYER = r"encoder\.layer\.(\d+)\."
WITNESSES = {
    "mult": LAYER + r"multi_layers\.0\.aug_dense\.weight",
    "houlsby": LAYER + r"attention\.output\.multi_layers\.0\.aug_dense\.weight",
    "lhuc": LAYER + r"multi_lhuc\.0\.lhuc",
    "top": r"encoder\.()mult_dense\.0\.weight",
    "bert_lay_top": r"encoder\.()multi_layers\.0\.attention\.output\.dense\.weight",
}
"""Switch to the tensor, of the first task, that is there wherever the switch had an effect."""

BESIDE_FFN = LAYER + r"output\.multi_layers\.0\.aug_dense\.weight"
ATTENTION = LAYER + r"(?:output\.)?multi_layers\.0\.attn\.query\.weight"

Slot = dict[str, Any]
Shapes = Mapping[str, tuple[int, ...]]


def adapter_slots(
    values: Mapping[str, Any],
    found: Shapes,
    *,
    num_tasks: int,
    tasks: Sequence[str],
    source: Path,
) -> tuple[Slot, ...]:
    """Adapter slots, in the order in which they act.

    Widths and layers are read off the tensors: the original lets its command line and edits of its
    code overrule the configuration.

    Args:
        values: The configuration.
        found: Format name to shape of every tensor in the file; the encoder alone has no adapters.
        num_tasks: Tasks in the file.
        tasks: Their ids, or empty for all.
        source: The configuration file, for messages.

    Raises:
        CheckpointError: If the original itself cannot run these switches, or if the tensors belong
            to others.
    """
    on = _switched_on(values)
    _refuse_failing(on, num_tasks, source)
    layers = {switch: _places(pattern, found) for switch, pattern in WITNESSES.items()}
    _compare(on, layers, found, source)
    parts = _Parts(found, depth=values["num_hidden_layers"], tasks=tuple(tasks), source=source)
    slots = [*parts.in_layers(layers), *parts.scales(layers), *parts.on_top(layers)]
    return tuple(slots)


class _Parts:
    """Writes the slots of one file."""

    def __init__(self, found: Shapes, *, depth: int, tasks: tuple[str, ...], source: Path) -> None:
        self.found, self.depth, self.tasks, self.source = found, depth, tasks, source

    def in_layers(self, layers: Mapping[str, list[int]]) -> Iterator[Slot]:
        """Bottlenecks and projected attention inside the layers."""
        if at := layers["mult"]:
            yield self._added("layer_residual", WITNESSES["mult"], at)
        if at := layers["houlsby"]:
            parallel = not _places(ATTENTION, self.found)
            yield self._slot(
                "bottleneck",
                at,
                bottleneck_size=self._width(WITNESSES["houlsby"]),
                sites=["attention_output", "ffn_output"] if parallel else ["attention_output"],
                parallel=["ffn_output"] if parallel else [],
                init_scale=None,
            )
            if not parallel:
                yield self._added("ffn_output", BESIDE_FFN, at)

    def scales(self, layers: Mapping[str, list[int]]) -> Iterator[Slot]:
        """Scales of the adapters in layers that have some, of the output of the others."""
        scaled = [layer for layer in layers["lhuc"] if layer in layers["mult"]]
        plain = [layer for layer in layers["lhuc"] if layer not in layers["mult"]]
        if scaled:
            yield self._slot("lhuc", scaled, site="layer_residual")
        if plain:
            id_ = "lhuc_output" if scaled else "lhuc"
            yield self._slot("lhuc", plain, id_=id_, site="layer_output")

    def on_top(self, layers: Mapping[str, list[int]]) -> Iterator[Slot]:
        """What stands above the last layer."""
        if layers["top"]:
            size = self._width(WITNESSES["top"])
            self._check_heads(size, TOP_HEADS, "the attention blocks on top have")
            yield self._slot("top_attention", bottleneck_size=size, num_heads=TOP_HEADS)
        if layers["bert_lay_top"]:
            yield self._slot("top_layer")
            if "encoder.multi_layers.0.multi_lhuc.0.lhuc" in self.found:
                yield self._slot("lhuc", id_="lhuc_top", site="encoder_output")

    def _added(self, site: str, witness: str, at: list[int]) -> Slot:
        """Projected attention, or low-rank layers where there is no attention."""
        size = self._width(witness)
        if not _places(ATTENTION, self.found):
            return self._slot("low_rank", at, bottleneck_size=size, site=site)
        self._check_heads(size, PALS_HEADS, "projected attention layers have")
        options: Slot = {"num_heads": PALS_HEADS, "share_projections": True, "site": site}
        return self._slot("pals", at, bottleneck_size=size, **options)

    def _slot(
        self, name: str, at: list[int] | None = None, *, id_: str = "", **options: Any
    ) -> Slot:
        every = at is None or at == list(range(self.depth))
        return {
            "name": f"bertmod/{name}",
            "id": id_ or name,
            **options,
            "layers": "all" if every else at,
            "tasks": list(self.tasks) or "all",
        }

    def _width(self, witness: str) -> int:
        """Rows of the first tensor of a pattern: the width of the bottleneck."""
        return next(shape[0] for name, shape in self.found.items() if re.fullmatch(witness, name))

    def _check_heads(self, size: int, heads: int, what: str) -> None:
        if size % heads:
            raise CheckpointError(
                f"{self.source}: {what} {heads} heads, which do not divide the width {size}: "
                "Bert-n-Pals cannot run this model either"
            )


def _places(pattern: str, found: Shapes) -> list[int]:
    """Layers in which a tensor of a pattern is, ascending; 0 for one outside the layers."""
    matches = (re.fullmatch(pattern, name) for name in found)
    return sorted({int(match[1] or 0) for match in matches if match})


def _switched_on(values: Mapping[str, Any]) -> set[str]:
    """Switches that have an effect.

    ``pals`` and ``bert_lay_top`` alone do nothing, nor does ``mult`` beside ``houlsby``.
    """
    on = {key for key in SWITCHES if values.get(key)}
    if not on & {"mult", "houlsby"}:
        on.discard("pals")
    if "top" not in on:
        on.discard("bert_lay_top")
    if "pals" not in on and "houlsby" in on:
        on.discard("mult")
    return on


def _refuse_failing(on: set[str], num_tasks: int, source: Path) -> None:
    """Refuse what fails in the original, or does not do what its switches say."""
    why = None
    if on >= {"mult", "pals", "houlsby"}:
        why = "mult, pals and houlsby together: Bert-n-Pals cannot build that model"
    elif on >= {"pals", "houlsby", "lhuc"}:
        why = "pals, houlsby and lhuc together: Bert-n-Pals cannot run that model"
    elif on >= {"houlsby", "lhuc"} and num_tasks > 1:
        why = (
            "houlsby and lhuc together: beside the feed-forward layers, Bert-n-Pals then uses the "
            "first task's adapters for every task, which bertmod does not imitate"
        )
    if why is not None:
        raise CheckpointError(f"{source}: {why}\n  accepted: other combinations of the switches")


def _compare(on: set[str], layers: Mapping[str, list[int]], found: Shapes, source: Path) -> None:
    """Refuse tensors that the switches do not explain; without any, the encoder stands alone."""
    has = {switch for switch, at in layers.items() if at}
    if not has:
        return
    if _places(ATTENTION, found):
        has.add("pals")
    if "bert_lay_top" in has:
        has.add("top")
    if has != on:
        raise CheckpointError(
            f"{source}: the configuration switches on {_named(on)}, the state dict was trained "
            f"with {_named(has)}\n  use the configuration that the model was trained with"
        )


def _named(switches: set[str]) -> str:
    return ", ".join(key for key in SWITCHES if key in switches) or "none"
