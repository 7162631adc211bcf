"""What an encoder promises at its sites, where adapters act.

Shape letters: T tokens of a batch, I and O widths into and out of a site.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bertmod.contracts.batch import Batch
from bertmod.contracts.encoder import EncoderShape
from bertmod.testing.bench import HIDDEN, batch_of, difference, require_close
from bertmod.testing.encoders import build, fresh, rows
from bertmod.testing.subject import Subject, require
from bertmod.wording import listed

Place = tuple[str, int]


class Heard(NamedTuple):
    """One call of a site: what the encoder handed over, and copies made at that moment."""

    place: Place
    x_TI: Tensor
    y_TO: Tensor | None
    x_then: Tensor
    y_then: Tensor | None


class Listener:
    """Site calls that write down what they hear and answer with what a function makes of y.

    Args:
        shape: The encoder's shape.
        places: Where somebody acts.
        change: (place, x, y) to the new y; y is None at a delta site.
    """

    def __init__(
        self,
        shape: EncoderShape,
        places: frozenset[Place],
        change: Callable[[Place, Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.shape, self.places, self.change = shape, places, change
        self.heard: list[Heard] = []

    def uses(self, site: str, layer: int) -> bool:
        """Whether somebody acts there."""
        return (site, layer) in self.places

    def token_wise(self, site: str, layer: int) -> bool:
        """Whether nobody acts there."""
        return not self.uses(site, layer)

    def __call__(self, site: str, layer: int, x_TI: Tensor, y_TO: Tensor | None) -> Tensor:
        """The new y: the old one, or zeros at a delta site, unless it is to be changed."""
        then = None if y_TO is None else y_TO.clone()
        self.heard.append(Heard((site, layer), x_TI, y_TO, x_TI.clone(), then))
        width = self.shape.sites[site].out_width
        new = x_TI.new_zeros((len(x_TI), width)) if y_TO is None else y_TO
        return new if self.change is None else self.change((site, layer), x_TI, new)


def declared(shape: EncoderShape) -> frozenset[Place]:
    """Every (site, layer) at which an adapter may ask to be called."""
    return frozenset(_declared(shape))


def _declared(shape: EncoderShape) -> Iterator[Place]:
    for site in shape.sites:
        layers = 1 if site in shape.end_sites else shape.num_hidden_layers
        yield from ((site, layer) for layer in range(layers))


def heard(module: Any, places: frozenset[Place] | None = None) -> tuple[list[Heard], Tensor, Batch]:
    """What a forward tells its sites, and the hidden states it ends with."""
    batch = batch_of(rows())
    listener = Listener(module.shape, declared(module.shape) if places is None else places)
    with torch.no_grad():
        hidden: Tensor = module(batch, listener, want=HIDDEN).hidden_TH
    return listener.heard, hidden, batch


def sites_called(subject: Subject) -> None:
    """Each declared site is called once per layer and forward, the ends with layer 0, with x and y
    of the declared widths; y is None at delta sites alone.
    """
    module = build(subject)
    calls, _, batch = heard(module)
    about = module.shape
    found = [call.place for call in calls]
    twice = sorted({place for place in found if found.count(place) > 1})
    lost = sorted(declared(about) - set(found))
    odd = sorted(set(found) - declared(about))
    require(not lost, f"never called: {_listed(lost)}")
    require(not odd, f"called, but not declared: {_listed(odd)}")
    require(not twice, f"called more than once in a forward: {_listed(twice)}")
    tokens = len(batch.input_ids_T)
    for call in calls:
        kind, in_width, out_width = about.sites[call.place[0]]
        told, shape = _shown(call.place), tuple(call.x_TI.shape)
        require(
            shape == (tokens, in_width), f"{told}, x has shape {shape}, not declared {in_width}"
        )
        if call.y_TO is None:
            require(kind == "delta", f"{told}, y is None at a site of kind {kind}")
            continue
        require(kind != "delta", f"{told}, y is given at a delta site where nobody has acted")
        shape = tuple(call.y_TO.shape)
        right = shape == (tokens, out_width)
        require(right, f"{told}, y has shape {shape}, not declared {out_width}")


def unused_sites(subject: Subject) -> None:
    """A site that nobody uses is not called, and gives what it gives with adapters that change
    nothing.
    """
    module = build(subject)
    _, expected, _ = heard(module)
    calls, hidden, _ = heard(module, frozenset())
    require(not calls, f"called although uses() is false: {_listed(c.place for c in calls)}")
    require_close(hidden, expected, "adapters that return y, or zeros, change the hidden states")
    for place in sorted(declared(module.shape)):
        calls, _, _ = heard(module, frozenset({place}))
        others = [call.place for call in calls if call.place != place]
        require(not others, f"called although only {_shown(place)} is used: {_listed(others)}")


def answers_used(subject: Subject) -> None:
    """What an adapter returns at a site takes y's place: changing it changes the hidden states."""
    module, batch = build(subject), batch_of(rows())
    _, plain, _ = heard(module)
    draws = torch.Generator().manual_seed(2)
    for place in sorted(declared(module.shape)):
        width = module.shape.sites[place[0]].out_width
        noise = torch.randn(len(batch.input_ids_T), width, generator=draws)

        def moved(_: Place, x: Tensor, y: Tensor, noise: Tensor = noise) -> Tensor:
            del x
            return y + noise

        with torch.no_grad():
            listener = Listener(module.shape, frozenset({place}), moved)
            hidden = module(batch, listener, want=HIDDEN).hidden_TH
        changed = difference(hidden, plain) > 1e-6
        require(changed, f"{_shown(place)}, the answer of an adapter has no effect")


def inputs_kept(subject: Subject) -> None:
    """The encoder does not write to an x or y that it has handed over."""
    calls, _, _ = heard(build(subject))
    for call in calls:
        for name, value, then in (("x", call.x_TI, call.x_then), ("y", call.y_TO, call.y_then)):
            same = value is None or then is None or torch.equal(value, then)
            require(same, f"{_shown(call.place)}, {name} is written to after the call")


def projections(subject: Subject) -> None:
    """projection(site, layer) gives views of the weight (out, in) and bias that the site's linear
    layer computes with; other sites raise ValueError.
    """
    module = build(subject)
    calls, _, _ = heard(module)
    for call in calls:
        kind, in_width, out_width = module.shape.sites[call.place[0]]
        told = _shown(call.place)
        if kind != "projection":
            _require_refused(module.projection, call.place)
            continue
        weight, bias = module.projection(*call.place)
        shape = tuple(weight.shape)
        require(shape == (out_width, in_width), f"{told}, the weight has shape {shape}")
        assert call.y_TO is not None
        with torch.no_grad():
            expected = torch.nn.functional.linear(call.x_TI, weight, bias)
        require_close(call.y_TO, expected, f"{told}, y is not x through that weight and bias")
        _require_views(subject, "projection", call.place)


def norms(subject: Subject) -> None:
    """norm(site, layer) gives views of the gain and offset behind a norm site; other sites raise
    ValueError.
    """
    module = build(subject)
    for place in sorted(declared(module.shape)):
        kind, _, out_width = module.shape.sites[place[0]]
        if kind != "norm":
            _require_refused(module.norm, place)
            continue
        for value in module.norm(*place):
            shape = tuple(value.shape)
            require(shape == (out_width,), f"{_shown(place)}, gain or offset has shape {shape}")
        _require_views(subject, "norm", place)


CHECKS = (sites_called, unused_sites, answers_used, inputs_kept, projections, norms)


def _require_refused(find: Callable[[str, int], Any], place: Place) -> None:
    try:
        find(*place)
    except ValueError:
        return
    raise AssertionError(f"{_shown(place)}, {find.__name__} gives something: raise ValueError")


def _require_views(subject: Subject, kind: str, place: Place) -> None:
    """Writing into what is given must change the encoder's own parameters."""
    module = fresh(subject)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for view in getattr(module, kind)(*place):
        with torch.no_grad():
            view += 1
        after = module.state_dict()
        same = all(torch.equal(after[name], value) for name, value in before.items())
        require(not same, f"{_shown(place)}, {kind} gives copies: writing to them changes nothing")
        before = {name: value.clone() for name, value in after.items()}


def _shown(place: Place) -> str:
    return f'at site "{place[0]}" of layer {place[1]}'


def _listed(places: Any) -> str:
    return listed(f"{site} of layer {layer}" for site, layer in places)
