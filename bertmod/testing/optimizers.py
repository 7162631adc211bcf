"""What an optimizer promises."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bertmod.contracts.optimizer import ParameterGroup
from bertmod.testing.bench import difference
from bertmod.testing.subject import Subject, require
from bertmod.wording import listed

SHAPES = {
    "encoder.layer.0.weight": (4, 3),
    "encoder.layer.0.bias": (4,),
    "adapters.task.own.scale": (6,),
    "heads.task.weight": (2, 4),
    "heads.task.cube": (2, 3, 2),
}
"""Parameters by name; the first two are the first group, the others the second."""

RATES = (0.05, 0.02)
DECAY = 0.1


def parameters(*, seed: int = 0) -> dict[str, nn.Parameter]:
    """Fresh parameters, the same every time."""
    draws = torch.Generator().manual_seed(seed)
    return {
        name: nn.Parameter(torch.randn(shape, generator=draws)) for name, shape in SHAPES.items()
    }


def build(subject: Subject, own: dict[str, nn.Parameter], *, decay: float = 0.0) -> Any:
    """An optimizer of two groups, of which only the first decays."""
    pairs = list(own.items())
    split = max(1, min(2, len(pairs) - 1))
    groups = [
        ParameterGroup("first", tuple(pairs[:split]), RATES[0], decay),
        ParameterGroup("second", tuple(pairs[split:]), RATES[1], 0.0),
    ]
    return subject.spec.build(subject.config, [group for group in groups if group.parameters])


def step(optimizer: Any, own: dict[str, nn.Parameter], *, round_number: int) -> None:
    """One step with the gradients of a round."""
    draws = torch.Generator().manual_seed(100 + round_number)
    every = {name: torch.randn(shape, generator=draws) for name, shape in SHAPES.items()}
    for name, parameter in own.items():
        parameter.grad = every[name].clone()
    optimizer.step()


def copied(own: dict[str, nn.Parameter]) -> dict[str, nn.Parameter]:
    """Parameters of the same values."""
    return {name: nn.Parameter(value.detach().clone()) for name, value in own.items()}


def groups_kept(subject: Subject) -> None:
    """The builder makes one parameter group of each group, in order, with its parameters, its
    learning rate as lr and its weight_decay.
    """
    own = parameters()
    optimizer = build(subject, own, decay=DECAY)
    require(isinstance(optimizer, torch.optim.Optimizer), "it is no torch.optim.Optimizer")
    found = optimizer.param_groups
    require(len(found) == 2, f"{len(found)} parameter groups of 2")
    names = list(own)
    for index, part in enumerate((names[:2], names[2:])):
        group = found[index]
        same = [id(p) for p in group["params"]] == [id(own[name]) for name in part]
        require(same, f"group {index} does not have the parameters of its ParameterGroup")
        require(group["lr"] == RATES[index], f"group {index} has lr {group['lr']}")
        wanted = (DECAY, 0.0)[index]
        told = f"group {index} has weight_decay {group.get('weight_decay')}, not {wanted}"
        require(group.get("weight_decay") == wanted, told)


def descends(subject: Subject) -> None:
    """It makes a quadratic smaller: below half of what it was, after 300 steps."""
    own, targets = parameters(), parameters(seed=1)
    optimizer = build(subject, own)

    def loss() -> Tensor:
        gaps = [(own[name] - targets[name].detach()).square().sum() for name in own]
        return torch.stack(gaps).sum()

    first = loss().item()
    for _ in range(300):
        optimizer.zero_grad(set_to_none=True)
        loss().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    last = loss().item()
    require(last < first / 2, f"300 steps bring a quadratic from {first:.3g} to {last:.3g}")


def none_is_skipped(subject: Subject) -> None:
    """A parameter without gradient is left as it is, decay included, and so is its state."""
    own = parameters()
    optimizer = build(subject, own, decay=DECAY)
    step(optimizer, own, round_number=0)
    idle = "encoder.layer.0.weight"
    value, state = own[idle].detach().clone(), copy.deepcopy(optimizer.state[own[idle]])
    for name, parameter in own.items():
        parameter.grad = None if name == idle else torch.ones_like(parameter)
    optimizer.step()
    require(torch.equal(own[idle], value), "a parameter whose gradient is None is changed")
    same = _equal(optimizer.state[own[idle]], state)
    require(same, "the state of a parameter whose gradient is None is changed")


def state_round_trip(subject: Subject) -> None:
    """All state lies in .state[p]: with it and the parameters, a fresh optimizer goes on exactly
    as this one does.
    """
    own = parameters()
    optimizer = build(subject, own, decay=DECAY)
    for round_number in range(3):
        step(optimizer, own, round_number=round_number)
    other = copied(own)
    fresh = build(subject, other, decay=DECAY)
    for name, parameter in own.items():
        if parameter in optimizer.state:
            fresh.state[other[name]] = copy.deepcopy(optimizer.state[parameter])
    _require_same_way(optimizer, own, fresh, other, "with its .state[p]")
    third = copied(own)
    loaded = build(subject, third, decay=DECAY)
    loaded.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    _require_same_way(optimizer, own, loaded, third, "with its state_dict")


def rate_of_the_step(subject: Subject) -> None:
    """The engine sets lr before each step, and that lr is used: with 0 nothing moves, group by
    group.
    """
    own = parameters()
    optimizer = build(subject, own, decay=DECAY)
    step(optimizer, own, round_number=0)
    optimizer.param_groups[1]["lr"] = 0.0
    before = copied(own)
    step(optimizer, own, round_number=1)
    names = list(own)
    moved = [name for name in names[2:] if not torch.equal(own[name], before[name])]
    require(not moved, f"with lr 0, {listed(moved)} moves")
    still = [name for name in names[:2] if torch.equal(own[name], before[name])]
    require(not still, f"with the other group's lr 0, {listed(still)} does not move")


def decay_as_stated(subject: Subject) -> None:
    """weight_decay pulls the parameters of its group, and of no other, towards 0."""
    own, plain = parameters(), parameters()
    decaying, without = build(subject, own, decay=DECAY), build(subject, plain)
    for round_number in range(3):
        step(decaying, own, round_number=round_number)
        step(without, plain, round_number=round_number)
    names = list(own)
    far = [n for n in names[:2] if own[n].norm() >= plain[n].norm()]
    require(not far, f"weight_decay {DECAY} does not make {listed(far)} smaller")
    moved = [n for n in names[2:] if not torch.equal(own[n], plain[n])]
    if subject.spec.per_parameter:
        require(not moved, f"weight_decay of another group changes {listed(moved)}")


def per_parameter_claim(subject: Subject) -> None:
    """If the spec says per_parameter, a parameter's update depends on that parameter alone."""
    if not subject.spec.per_parameter:
        return
    together = parameters()
    optimizer = build(subject, together)
    for round_number in range(3):
        step(optimizer, together, round_number=round_number)
    for index, name in enumerate(SHAPES):
        alone = {name: parameters()[name]}
        group = ParameterGroup("alone", tuple(alone.items()), RATES[index >= 2], 0.0)
        own = subject.spec.build(subject.config, [group])
        for round_number in range(3):
            step(own, alone, round_number=round_number)
        gap = difference(alone[name].detach(), together[name].detach())
        require(gap <= 1e-6, f"{name} moves otherwise when it is alone (by {gap:.2g})")


def gradients_of_any_layout(subject: Subject) -> None:
    """A gradient that lies otherwise in memory than its parameter (a transposed one) moves the
    same entries; gradients of zeros keep everything finite.
    """
    plain, turned = parameters(), parameters()
    for own, transposed in ((plain, False), (turned, True)):
        optimizer = build(subject, own)
        draws = torch.Generator().manual_seed(1)
        for parameter in own.values():
            gradient = torch.randn(parameter.shape, generator=draws)
            if transposed and gradient.dim() > 1:
                gradient = gradient.transpose(0, 1).contiguous().transpose(0, 1)
            parameter.grad = gradient
        optimizer.step()
        for parameter in own.values():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    for name in SHAPES:
        require(torch.isfinite(plain[name]).all(), f"{name} is not finite after zero gradients")
        gap = difference(turned[name].detach(), plain[name].detach())
        require(gap <= 1e-6, f"{name} moves otherwise with a transposed gradient (by {gap:.2g})")


CHECKS = (
    groups_kept,
    descends,
    none_is_skipped,
    state_round_trip,
    rate_of_the_step,
    decay_as_stated,
    per_parameter_claim,
    gradients_of_any_layout,
)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _require_same_way(
    first: Any,
    own: dict[str, nn.Parameter],
    second: Any,
    other: dict[str, nn.Parameter],
    how: str,
) -> None:
    """Two optimizers must move equal parameters by equal amounts; the first is not used up."""
    trial = copy.deepcopy((first, own))
    for round_number in range(3, 6):
        step(trial[0], trial[1], round_number=round_number)
        step(second, other, round_number=round_number)
    apart: Sequence[str] = [n for n in own if not torch.equal(trial[1][n], other[n])]
    told = f"{how}, a fresh optimizer moves {listed(apart)} otherwise"
    require(not apart, f"{told}: some state lies elsewhere")
