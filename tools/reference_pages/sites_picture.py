"""The picture of one encoder layer, its sites, and the adapters that act there by default."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

from bertmod.contracts.encoder import EncoderShape
from bertmod.registry import Registry

WIDTH, ROW, TOP = 960, 46, 64
BOX_LEFT, BOX_WIDTH, BOX_HEIGHT = 150, 250, 32
SITE_LEFT, PILL_LEFT = 440, 640
MIDDLE = BOX_LEFT + BOX_WIDTH // 2


class Stage(NamedTuple):
    """A step of the computation, top to bottom.

    Attributes:
        text: What is computed.
        sites: Names of the sites whose y it makes.
    """

    text: str
    sites: tuple[str, ...] = ()


EMBEDDINGS = Stage("embeddings, LayerNorm, dropout", ("embedding_output",))
LAYER = (
    Stage("three projections", ("query", "key", "value")),
    Stage("attention"),
    Stage("dense", ("attention_dense",)),
    Stage("dropout", ("attention_output",)),
    Stage("+ layer input, LayerNorm", ("attention_norm",)),
    Stage("dense, wider", ("ffn_up",)),
    Stage("activation", ("ffn_activation",)),
    Stage("dense, narrower", ("ffn_down",)),
    Stage("dropout", ("ffn_output",)),
    Stage("+ attention block + deltas", ("layer_residual",)),
    Stage("LayerNorm", ("output_norm",)),
    Stage("layer output", ("layer_output",)),
)
END = Stage("last hidden states", ("encoder_output",))

# Adapters of the plugins in this repository, and an option of a built-in one.
ELSEWHERE = {
    "query": ("lora",),
    "key": ("ia3",),
    "value": ("lora", "ia3"),
    "ffn_activation": ("ia3",),
    "attention_norm": ("bottleneck: layer_norms",),
    "output_norm": ("bottleneck: layer_norms",),
}

STYLE = """
      .zone { fill: none; stroke: #3f51b5; stroke-width: 1.2; stroke-dasharray: 6 4; }
      .box { fill: #fff3e0; stroke: #ef6c00; stroke-width: 1.5; }
      .pill { fill: #e8f5e9; stroke: #388e3c; stroke-width: 1.2; }
      .other { fill: #ffffff; stroke: #388e3c; stroke-width: 1.2; stroke-dasharray: 4 3; }
      .name { fill: #1a1a1a; text-anchor: middle; }
      .site { fill: #1a237e; font: 13px ui-monospace, Menlo, Consolas, monospace; }
      .kind { fill: #607d8b; font-size: 11px; }
      .head { fill: #37474f; font-weight: 600; }
      .flow { stroke: #37474f; stroke-width: 1.5; fill: none; marker-end: url(#arrow); }
      .skip { stroke: #90a4ae; stroke-width: 1.5; fill: none; marker-end: url(#arrow); }
"""
ABOUT = (
    "The computation of a BERT layer from top to bottom. Beside each step stand the sites whose "
    "output it makes, and the adapters that act there unless their options say otherwise."
)


def sites_picture(registry: Registry) -> str:
    """An SVG of the built-in encoder's sites with the built-in adapters."""
    stages = (EMBEDDINGS, *LAYER, END)
    height = TOP + ROW * (len(stages) + 1)
    adapters = _by_site(registry)
    kinds = {name: site.kind for name, site in _shape(registry).sites.items()}
    parts = [*_opening(height)]
    for number, stage in enumerate(stages):
        parts += _stage(stage, _y(number), adapters, kinds)
        if number:
            parts.append(_arrow(_y(number - 1) + BOX_HEIGHT, _y(number)))
    return "\n".join([*parts, *_skips(), "</svg>"]) + "\n"


def _shape(registry: Registry) -> EncoderShape:
    spec = registry.get("encoder", "bertmod/bert").spec
    return spec.shape(spec.config())


def _by_site(registry: Registry) -> dict[str, list[str]]:
    """Built-in adapters by the sites where their default options put them."""
    shape = _shape(registry)
    layers = tuple(range(shape.num_hidden_layers))
    found: dict[str, list[str]] = defaultdict(list)
    for entry in registry.entries("adapter"):
        if entry.provider == "bertmod":
            for site in entry.spec.sites(entry.spec.config(), shape, layers):
                found[site].append(entry.spec.name)
    return found


def _y(number: int) -> int:
    """Top of a stage's box; the layers stand apart from both ends."""
    gap = ROW // 2
    return TOP + ROW * number + (0 if number == 0 else gap if number <= len(LAYER) else 2 * gap)


def _opening(height: int) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-labelledby="title desc" font-family="system-ui, -apple-system, \'Segoe UI\', '
        '\'DejaVu Sans\', sans-serif" font-size="14">'
    )
    yield '  <title id="title">Where adapters act</title>'
    yield f'  <desc id="desc">{ABOUT}</desc>'
    yield (
        '  <defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 L10 5 L0 10 z" fill="#37474f"/></marker>'
    )
    yield f"    <style>{STYLE}    </style></defs>"
    yield f'  <rect width="{WIDTH}" height="{height}" rx="8" fill="#ffffff"/>'
    for left, text in ((BOX_LEFT, "computation"), (SITE_LEFT, "site"), (PILL_LEFT, "adapters")):
        yield f'  <text class="head" x="{left}" y="34">{text}</text>'
    top, bottom = _y(1) - 14, _y(len(LAYER)) + BOX_HEIGHT + 12
    yield _box("zone", 20, top, width=WIDTH - 40, height=bottom - top)
    yield f'  <text class="kind" x="32" y="{bottom - 10}">every layer</text>'


def _stage(
    stage: Stage, y: int, adapters: dict[str, list[str]], kinds: dict[str, str]
) -> Iterator[str]:
    base = y + 21
    yield _box("box", BOX_LEFT, y, width=BOX_WIDTH, height=BOX_HEIGHT)
    yield f'  <text class="name" x="{MIDDLE}" y="{base}">{escape(stage.text)}</text>'
    if not stage.sites:
        return
    yield f'  <text class="site" x="{SITE_LEFT}" y="{base - 4}">{" ".join(stage.sites)}</text>'
    yield f'  <text class="kind" x="{SITE_LEFT}" y="{base + 10}">{kinds[stage.sites[0]]}</text>'
    left = PILL_LEFT
    own = dict.fromkeys(name for site in stage.sites for name in adapters.get(site, ()))
    other = dict.fromkeys(name for site in stage.sites for name in ELSEWHERE.get(site, ()))
    for style, names in (("pill", own), ("other", other)):
        for name in names:
            width = 18 + 8 * len(name)
            yield _box(style, left, y + 3, width=width, height=26)
            yield f'  <text class="name" x="{left + width // 2}" y="{base}">{escape(name)}</text>'
            left += width + 8


def _box(style: str, left: int, top: int, *, width: int, height: int) -> str:
    place = f'x="{left}" y="{top}" width="{width}" height="{height}"'
    return f'  <rect class="{style}" {place} rx="8"/>'


def _arrow(start: int, end: int) -> str:
    return f'  <path class="flow" d="M{MIDDLE} {start} V{end - 1}"/>'


def _skips() -> Iterator[str]:
    """The paths beside the boxes: residuals, and the layer input that deltas read."""
    first, norm, residual = _y(1), _y(5), _y(10)
    start = first - 8
    middle = BOX_HEIGHT // 2
    yield f'  <path class="skip" d="M{MIDDLE} {start} H110 V{norm + middle} H{BOX_LEFT - 1}"/>'
    yield (
        f'  <path class="skip" d="M{MIDDLE} {norm + BOX_HEIGHT + 6} H130 V{residual + middle - 6} '
        f'H{BOX_LEFT - 1}"/>'
    )
    below = residual + middle + 6
    yield f'  <path class="skip" d="M{MIDDLE} {start} H70 V{below} H{BOX_LEFT - 1}"/>'
