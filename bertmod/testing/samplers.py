"""What a sampler promises."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from bertmod.contracts.sampler import SamplerContext, ScoreInfo
from bertmod.errors import CheckpointError
from bertmod.testing.subject import SIZES, TASKS, Subject, require

Call = tuple[int, int, int, frozenset[str]]

SCORES: Sequence[Mapping[str, float]] = (
    {"small": 0.2, "middle": 0.5, "large": 0.9},
    {"small": 0.4, "middle": 0.45, "large": 0.9},
    {"small": 0.1, "middle": 0.6, "large": 0.95},
)
"""Dev scores of three evaluations, by task."""


SCORED = {
    "small": ScoreInfo("dev/accuracy", baseline=0.5),
    "middle": ScoreInfo("dev/loss", greater_is_better=False, baseline=None),
    "large": ScoreInfo("dev/pearson", baseline=float("nan")),
}
"""What those scores mean: also a metric of which less is better, and baselines that lack."""


def build(subject: Subject) -> Any:
    """A sampler of three tasks."""
    context = SamplerContext(TASKS, np.array(SIZES), SCORED)
    return subject.spec.build(subject.config, context)


def calls() -> Iterator[Call]:
    """(step, epoch, num_epochs, running) of a run, with every set of running tasks."""
    for count in (3, 2, 1):
        for running in combinations(TASKS, count):
            for step, epoch, num_epochs in ((0, 0, 1), (0, 0, 5), (17, 2, 5), (10**5, 4, 5)):
                yield step, epoch, num_epochs, frozenset(running)


def observed(subject: Subject) -> Any:
    """A sampler that has heard three evaluations."""
    sampler = build(subject)
    for number, scores in enumerate(SCORES):
        sampler.observe(10 * number, scores)
    return sampler


def probabilities(subject: Subject) -> None:
    """Probabilities are (tasks,), float64, not negative, and sum to 1, before and after scores
    were heard.
    """
    for sampler in (build(subject), observed(subject)):
        for call in calls():
            given = sampler.probabilities(*call)
            told = f"probabilities{_shown(call)}"
            right = isinstance(given, np.ndarray) and given.shape == (len(TASKS),)
            require(right, f"{told} is {given!r}, not an array of {len(TASKS)}")
            require(given.dtype == np.float64, f"{told} is {given.dtype}")
            require(np.isfinite(given).all(), f"{told} has an entry that is no number: {given}")
            require((given >= 0).all(), f"{told} has a negative entry: {given}")
            require(abs(given.sum() - 1) < 1e-9, f"{told} sums to {float(given.sum())}")


def stopped_tasks(subject: Subject) -> None:
    """A task that does not run any more has probability 0."""
    for sampler in (build(subject), observed(subject)):
        for call in calls():
            given = sampler.probabilities(*call)
            idle = [t for t, p in zip(TASKS, given, strict=True) if t not in call[3] and p]
            require(not idle, f"probabilities{_shown(call)} gives {idle} a chance")


def function_of_step_and_state(subject: Subject) -> None:
    """Probabilities follow from the arguments and the state alone: asking again, in another
    order, or from another object gives the same, and changes no state.
    """
    sampler = observed(subject)
    state = _text(sampler.state_dict())
    every = list(calls())
    first = [sampler.probabilities(*call).copy() for call in every]
    again = [sampler.probabilities(*call) for call in reversed(every)][::-1]
    other = observed(subject)
    for call, one, two in zip(every, first, again, strict=True):
        same = np.array_equal(one, two) and np.array_equal(one, other.probabilities(*call))
        require(same, f"probabilities{_shown(call)} is not the same when asked again")
    require(_text(sampler.state_dict()) == state, "asking for probabilities changes its state")


def results_apart(subject: Subject) -> None:
    """Writing into a returned array changes nothing inside the sampler."""
    sampler = build(subject)
    call = (0, 0, 5, frozenset(TASKS))
    expected = sampler.probabilities(*call).copy()
    given = sampler.probabilities(*call)
    if given.flags.writeable:
        given[:] = 7.0
    same = np.array_equal(sampler.probabilities(*call), expected)
    require(same, "writing into the returned array changes later probabilities")


def state_round_trip(subject: Subject) -> None:
    """Its state, of JSON values or tensors, makes a fresh sampler go on exactly as it would: what
    observe heard lies in the state and nowhere else.
    """
    sampler, fresh = observed(subject), build(subject)
    fresh.load_state_dict(_saved(sampler.state_dict()))
    for round_number in range(2):
        for call in calls():
            same = np.array_equal(fresh.probabilities(*call), sampler.probabilities(*call))
            when = "after loading" if not round_number else "after a further evaluation"
            require(same, f"{when}, probabilities{_shown(call)} differs from the saved sampler's")
        for each in (sampler, fresh):
            each.observe(40, {"small": 0.3, "middle": 0.3, "large": 0.3})
    require(_text(fresh.state_dict()) == _text(sampler.state_dict()), "the states differ")


def foreign_states_refused(subject: Subject) -> None:
    """A state with a missing or a left-over key is refused with CheckpointError."""
    state = dict(observed(subject).state_dict())
    damaged = [{key: state[key] for key in state if key != lost} for lost in state]
    for wrong in ({**state, "no_such_key": 1}, *damaged):
        try:
            build(subject).load_state_dict(wrong)
        except CheckpointError:
            continue
        odd = set(wrong) ^ set(state)
        raise AssertionError(f"a state is accepted although {odd} is missing or left over")


def partial_scores(subject: Subject) -> None:
    """observe takes the scores of some tasks alone, none, the best and the worst that there are, or
    scores that are not finite.
    """
    sampler = build(subject)
    undefined = float("nan")
    every: Sequence[Mapping[str, float]] = (
        *({"middle": 0.5}, {}, {"large": -0.1}, {"small": undefined, "large": undefined}),
        *(dict.fromkeys(TASKS, 1.0), dict.fromkeys(TASKS, 0.0)),
    )
    for scores in every:
        sampler.observe(5, scores)
        for call in calls():
            total = sampler.probabilities(*call).sum()
            told = f"after observe(5, {scores}) probabilities{_shown(call)} sums to {float(total)}"
            require(abs(total - 1) < 1e-9, told)


CHECKS = (
    probabilities,
    stopped_tasks,
    function_of_step_and_state,
    results_apart,
    state_round_trip,
    foreign_states_refused,
    partial_scores,
)


def _shown(call: Call) -> str:
    step, epoch, num_epochs, running = call
    return f"({step}, {epoch}, {num_epochs}, running={sorted(running)})"


def _text(state: Mapping[str, Any]) -> str:
    return json.dumps(state, sort_keys=True, default=lambda value: value.tolist())


def _saved(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state as a checkpoint gives it back: JSON values and tensors."""
    import torch

    plain = {k: v for k, v in state.items() if not isinstance(v, torch.Tensor)}
    tensors = {k: v.clone() for k, v in state.items() if isinstance(v, torch.Tensor)}
    try:
        return {**json.loads(json.dumps(plain)), **tensors}
    except TypeError as error:
        raise AssertionError(f"its state cannot be written as JSON: {error}") from error
