"""What a single adapter promises: its parameters, and its calls at sites.

Shape letters: T tokens of a batch, I and O widths into and out of a site.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bertmod.contracts.adapter import TokenWiseAdapter
from bertmod.contracts.checkpoint import CheckpointDescription, StoredTensor, TensorName
from bertmod.contracts.encoder import Encoder, EncoderShape
from bertmod.model.canonical import canonical_tensors, canonical_views, own_names
from bertmod.model.loading import Component, load_tensors
from bertmod.model.sites import adapter_context
from bertmod.nn.context import RowContext
from bertmod.nn.initialisation import initialise
from bertmod.testing.bench import LENGTHS, host, require_finite, stir, storages
from bertmod.testing.subject import Subject, host_shape, require
from bertmod.wording import listed

LAYERS = (0, 1)


class Place(NamedTuple):
    """One call of an adapter: where, and with what."""

    site: str
    layer: int
    x_TI: Tensor
    y_TO: Tensor | None

    @property
    def shown(self) -> str:
        """Where it is, for messages."""
        return f'at site "{self.site}" of layer {self.layer}'


def build(
    subject: Subject,
    *,
    encoder: Encoder | None = None,
    task: str = "first",
    layers: tuple[int, ...] = LAYERS,
    seed: int = 0,
) -> Any:
    """One task's adapter as its builder makes it, from a seed."""
    inside = encoder or host()
    _require_known_sites(subject, layers)
    torch.manual_seed(seed)
    context = adapter_context(inside, task, layers=layers, init=initialise)
    return subject.spec.build(subject.config, context)


def stirred(subject: Subject, *, encoder: Encoder | None = None, **about: Any) -> Any:
    """The same with noise in every parameter, in evaluation mode."""
    module = build(subject, encoder=encoder, **about)
    return stir(module, seed=len(about.get("task", "first"))).eval()


def places(subject: Subject, layers: tuple[int, ...] = LAYERS) -> Iterator[Place]:
    """Every call that an adapter asks for, with random x and y; no y at a delta site where it can
    be the first to act.
    """
    shape, draws = host_shape(), torch.Generator().manual_seed(2)
    needed = subject.spec.needs_output(subject.config, shape)
    asked = subject.spec.sites(subject.config, shape, layers)
    _require_known_sites(subject, layers)
    for site, at in asked.items():
        about = shape.sites[site]
        for layer in at:
            x = torch.randn(sum(LENGTHS), about.in_width, generator=draws)
            y = torch.randn(sum(LENGTHS), about.out_width, generator=draws)
            first = about.kind == "delta" and site not in needed
            yield Place(site, layer, x, None if first else y)


def _require_known_sites(subject: Subject, layers: tuple[int, ...]) -> None:
    """Say in one line what must be mended before anything else can be checked."""
    asked = subject.spec.sites(subject.config, host_shape(), layers)
    unknown = [site for site in asked if site not in host_shape().sites]
    told = f"it acts at {listed(unknown)}, which the encoder does not have"
    require(not unknown, f"{told}: mend the check sites first, this one needs it")


def layout(*, training: bool = False) -> RowContext:
    """The rows that direct calls are made with."""
    return RowContext.of(np.array(LENGTHS), training=training)


def called(module: Any, place: Place, context: RowContext | None = None) -> Tensor:
    """What an adapter returns at a place, without gradients."""
    with torch.no_grad():
        result: Tensor = module(*place, context or layout())
        return result


def names_of(subject: Subject, module: nn.Module) -> tuple[TensorName, ...]:
    """Names of an adapter's tensors, the module's own where its spec declares none."""
    if subject.spec.names is None:
        return own_names(module)
    return tuple(subject.spec.names(subject.config, host_shape(), LAYERS))


def sites(subject: Subject) -> None:
    """The spec's sites are the module's, exist in the encoder, and are asked for in the layers
    that the recipe chose, ascending; the encoder's two ends in layer 0.
    """
    shape = host_shape()
    asked = subject.spec.sites(subject.config, shape, LAYERS)
    require(asked, "it acts at no site")
    for site, at in asked.items():
        require(site in shape.sites, f'site "{site}" is not one of {listed(shape.sites)}')
        allowed = (0,) if site in shape.end_sites else LAYERS
        at = tuple(at)
        right = set(at) <= set(allowed) and list(at) == sorted(set(at)) and at
        require(right, f'at site "{site}" it asks for layers {at} of {allowed}')
    module = build(subject)  # only now: a builder may look up what the encoder lacks
    own = {site: tuple(at) for site, at in module.sites.items()}
    require(own == {s: tuple(at) for s, at in asked.items()}, f"module.sites is {own}")
    acts = {(site, layer) for site, at in asked.items() for layer in at}
    replaced = set(module.replaces)
    require(replaced <= acts, f"replaces has {sorted(replaced - acts)}, where it does not act")


def parameter_count(subject: Subject) -> None:
    """num_parameters of the spec is the number of trainable parameters of one task."""
    told = subject.spec.num_parameters(subject.config, host_shape(), LAYERS)
    own = sum(p.numel() for p in build(subject).parameters() if p.requires_grad)
    require(type(told) is int, f"num_parameters gives {type(told).__name__}, not int")
    require(told == own, f"num_parameters says {told:,}, the module has {own:,}")


def tensor_names(subject: Subject) -> None:
    """names, where the spec has it, lists every tensor of the module once, with its shape."""
    module = build(subject)
    names = names_of(subject, module)
    every = [name.canonical for name in names]
    require(len(set(every)) == len(every), "a canonical name is listed twice")
    views = canonical_views(module, names)
    for name in names:
        if name.tied is None:
            found = tuple(views[name.canonical].shape)
            right = len(found) == len(name.shape) and all(
                told in (None, length) for told, length in zip(name.shape, found, strict=True)
            )
            require(right, f"{name.canonical} has shape {found}, its name says {name.shape}")


def output_at_init(subject: Subject) -> None:
    """A fresh adapter returns (tokens, out width) at each of its sites: floating and finite."""
    module = build(subject).eval()
    for place in places(subject):
        out = called(module, place)
        wanted = (len(place.x_TI), host_shape().sites[place.site].out_width)
        require(isinstance(out, Tensor), f"{place.shown} it returns {type(out).__name__}")
        require(tuple(out.shape) == wanted, f"{place.shown} it returns shape {tuple(out.shape)}")
        require_finite(out, f"{place.shown} the output")


def calls_are_pure(subject: Subject) -> None:
    """Nothing is carried from call to call: the same call gives the same, whatever was called in
    between, and leaves the module's tensors as they were.
    """
    module = stirred(subject)
    before = copy.deepcopy(module.state_dict())
    calls = list(places(subject))
    first = [called(module, place) for place in calls]
    second = [called(module, place) for place in reversed(calls)][::-1]
    for place, one, other in zip(calls, first, second, strict=True):
        require(torch.equal(one, other), f"{place.shown} the same call gives something else")
    after = module.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    require(not changed, f"calls change its {listed(changed)}")


def token_wise(subject: Subject) -> None:
    """An adapter that says ``token_wise`` gives for some tokens what it gives for all."""
    module = stirred(subject)
    if not isinstance(module, TokenWiseAdapter) or not module.token_wise:
        return
    for place in places(subject):
        some = torch.arange(0, len(place.x_TI), 3)
        y_SO = None if place.y_TO is None else place.y_TO[some]
        alone = called(module, place._replace(x_TI=place.x_TI[some], y_TO=y_SO))
        same = torch.allclose(alone, called(module, place)[some], rtol=0, atol=1e-5)
        require(same, f"{place.shown} a token's y depends on others, yet it says token_wise")


def inputs_not_written(subject: Subject) -> None:
    """x and y are never written to, and y may be non-contiguous: a slice of a fused matrix."""
    module = stirred(subject)
    for place in places(subject):
        expected = called(module, place)
        kept = [None if t is None else t.clone() for t in place[2:]]
        for training in (False, True):
            with torch.set_grad_enabled(training):
                module.train(training)(*place, layout(training=training))
            for name, value, old in zip("xy", place[2:], kept, strict=True):
                same = value is None or old is None or torch.equal(value, old)
                when = " in training" if training else ""
                require(same, f"{place.shown} it writes to {name}{when}")
        module.eval()
        if place.y_TO is not None:
            wide = torch.cat([place.y_TO, torch.full_like(place.y_TO, 7.0)], dim=-1)
            sliced = place._replace(y_TO=wide[:, : place.y_TO.shape[1]])
            same = torch.equal(called(module, sliced), expected)
            require(same, f"{place.shown} a non-contiguous y gives another output")


def dropout_from_context(subject: Subject) -> None:
    """Randomness comes from the context alone: with dropout off there, two calls are equal even
    in training mode; with it on, they repeat from the same seed.
    """
    module = stirred(subject)
    for place in places(subject):
        expected = called(module, place)
        module.train()
        again = called(module, place)
        require(
            torch.equal(again, expected),
            f"{place.shown} module.train() changes the output although the context does not "
            "train: use context.dropout, not nn.Dropout",
        )
        torch.manual_seed(3)
        first = called(module, place, layout(training=True))
        torch.manual_seed(3)
        second = called(module, place, layout(training=True))
        require(torch.equal(first, second), f"{place.shown} dropout does not follow torch's seed")
        module.eval()


def mixed_dtypes(subject: Subject) -> None:
    """Under bf16 autocast x and y may each be bf16 or fp32; the output stays floating and finite,
    and the parameters fp32.
    """
    module = stirred(subject)
    for place in places(subject):
        for x_dtype in (torch.bfloat16, torch.float32):
            for y_dtype in (torch.bfloat16, torch.float32):
                y = None if place.y_TO is None else place.y_TO.to(y_dtype)
                cast = place._replace(x_TI=place.x_TI.to(x_dtype), y_TO=y)
                with torch.autocast("cpu", torch.bfloat16):
                    out = called(module, cast)
                told = f"{place.shown} with x {x_dtype} and y {y_dtype} the output"
                require_finite(out, told)
    odd = [n for n, p in module.named_parameters() if p.dtype != torch.float32]
    require(not odd, f"parameters are not fp32: {listed(odd)}")


def built_from_seed(subject: Subject) -> None:
    """Building draws from torch's default generator alone: the same seed gives the same values."""
    first, second = (build(subject, seed=5).state_dict() for _ in range(2))
    changed = [name for name in first if not torch.equal(first[name], second[name])]
    require(not changed, f"two builds from one seed differ in {listed(changed)}")


def tasks_apart(subject: Subject) -> None:
    """One object is one task's adapter: two tasks, and the encoder, share no parameter."""
    encoder = host()
    first, second = build(subject, encoder=encoder), build(subject, encoder=encoder, task="second")
    require(not storages(first) & storages(second), "the adapters of two tasks share parameters")
    assert isinstance(encoder, nn.Module)
    require(
        not storages(first) & storages(encoder),
        "it holds the encoder's own parameters: context.weights gives copies",
    )


def save_and_load(subject: Subject) -> None:
    """Its tensors, written by canonical name and read into a fresh object, give equal outputs."""
    module = stirred(subject)
    names = names_of(subject, module)
    tensors = canonical_tensors(module, names, prefix="adapters.first.own.")
    fresh = build(subject, seed=9).eval()
    stored = {
        name: StoredTensor(name, tuple(value.shape), lambda value=value: value)  # type: ignore[misc]
        for name, value in tensors.items()
    }
    component = Component("adapters.first.own", names, fresh, required=bool(stored))
    load_tensors(stored, CheckpointDescription("bertmod"), [component])
    for place in places(subject):
        same = torch.equal(called(fresh, place), called(module, place))
        require(same, f"{place.shown} the output differs after saving and loading")


def copies(subject: Subject) -> None:
    """It can be copied and its state pickled, and a copy is independent of it."""
    module = stirred(subject)
    other = copy.deepcopy(module)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    require(not storages(module) & storages(other), "a copy shares parameters with it")
    expected = [called(module, place) for place in places(subject)]
    stir(other, seed=4, scale=1.0)
    for place, old in zip(places(subject), expected, strict=True):
        same = torch.equal(called(module, place), old)
        require(same, f"{place.shown} changing a copy changes the output")


def layer_subsets(subject: Subject) -> None:
    """layers chooses where it acts: built for one layer, it asks for that layer alone and counts
    its parameters so.
    """
    shape: EncoderShape = host_shape()
    for layer in LAYERS:
        module = build(subject, layers=(layer,))
        asked = subject.spec.sites(subject.config, shape, (layer,))
        for site, at in (*asked.items(), *module.sites.items()):
            allowed = (0,) if site in shape.end_sites else (layer,)
            require(tuple(at) == allowed, f'for layer {layer}, site "{site}" has layers {at}')
        told = subject.spec.num_parameters(subject.config, shape, (layer,))
        own = sum(p.numel() for p in module.parameters() if p.requires_grad)
        require(told == own, f"for layer {layer}, num_parameters says {told:,}, it has {own:,}")
        for place in places(subject, (layer,)):
            require_finite(called(module.eval(), place), f"{place.shown} the output")


CHECKS = (
    sites,
    parameter_count,
    tensor_names,
    output_at_init,
    calls_are_pure,
    token_wise,
    inputs_not_written,
    dropout_from_context,
    mixed_dtypes,
    built_from_seed,
    tasks_apart,
    save_and_load,
    copies,
    layer_subsets,
)
