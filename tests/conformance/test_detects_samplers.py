"""Each check of samplers fails for a sampler that is broken in just the way it looks for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertmod import CheckpointError, EmptyConfig, SamplerContext, SamplerSpec
from bertmod.testing import samplers


class Driven:
    """Weights that fall with the last score of each task: nothing wrong."""

    def __init__(self, context: SamplerContext) -> None:
        self.tasks, self.last = context.tasks, dict.fromkeys(context.tasks, 0.0)

    def probabilities(self, step, epoch, num_epochs, running):
        weights = np.array([(1.5 - self.last[task]) * (task in running) for task in self.tasks])
        return weights / weights.sum()

    def observe(self, step, scores):
        self.last |= {task: score for task, score in scores.items() if np.isfinite(score)}

    def state_dict(self):
        return {"last": dict(self.last)}

    def load_state_dict(self, state):
        if state.keys() != {"last"}:
            raise CheckpointError("the sampler's state has other keys")
        self.last = dict(state["last"])


class Unnormalised(Driven):
    def probabilities(self, *call):
        return 2 * super().probabilities(*call)


class Float32(Driven):
    def probabilities(self, *call):
        return super().probabilities(*call).astype(np.float32)


class StoppedToo(Driven):
    def probabilities(self, step, epoch, num_epochs, running):
        return super().probabilities(step, epoch, num_epochs, frozenset(self.tasks))


class Turns(Driven):
    turn = 0

    def probabilities(self, *call):
        self.turn += 1
        weights = super().probabilities(*call) * (1 + self.turn % 3 * np.arange(3))
        return weights / weights.sum()


class Kept(Driven):
    kept: Any = None

    def probabilities(self, *call):
        if self.kept is None or call[3] != self.key:
            self.kept, self.key = super().probabilities(*call), call[3]
        return self.kept


class Forgetful(Driven):
    def state_dict(self):
        return {"last": dict.fromkeys(self.tasks, 0.0)}


class NotJson(Driven):
    def state_dict(self):
        return {"last": np.array(list(self.last.values()))}


class Trusting(Driven):
    def load_state_dict(self, state):
        self.last = dict(state.get("last", self.last))


class WantsAll(Driven):
    def observe(self, step, scores):
        self.last = {task: scores[task] for task in self.tasks}


class HearsNan(Driven):
    def observe(self, step, scores):
        self.last |= scores


class DropsTheLearnt(Driven):
    def probabilities(self, step, epoch, num_epochs, running):
        left = {task: max(0.0, 1.0 - score) for task, score in self.last.items()}
        weights = np.array([left[task] * (task in running) for task in self.tasks])
        with np.errstate(invalid="ignore"):
            return weights / weights.sum()


class LongRuns(Driven):
    def probabilities(self, step, epoch, num_epochs, running):
        given = super().probabilities(step, epoch, num_epochs, running)
        return given if step < 10_000 else given * np.nan


BROKEN: list[tuple[str, type[Driven], str]] = [
    ("probabilities", Unnormalised, "probabilities(0, 0, 1, running=['large', 'middle', 'small'])"),
    ("probabilities", Float32, "is float32"),
    ("probabilities", LongRuns, "has an entry that is no number"),
    ("stopped_tasks", StoppedToo, "gives ['large'] a chance"),
    ("function_of_step_and_state", Turns, "is not the same when asked again"),
    ("results_apart", Kept, "writing into the returned array changes later probabilities"),
    ("state_round_trip", Forgetful, "after loading, probabilities(0, 0, 1,"),
    ("state_round_trip", NotJson, "its state cannot be written as JSON"),
    ("foreign_states_refused", Trusting, "a state is accepted although {'no_such_key'} is"),
    ("partial_scores", WantsAll, "KeyError: 'small'"),
    ("partial_scores", HearsNan, "sums to nan"),
    ("partial_scores", DropsTheLearnt, "after observe(5, {'small': 1.0, 'middle': 1.0,"),
]


def spec_of(sampler: type[Driven]) -> SamplerSpec:
    return SamplerSpec(
        name="driven",
        config=EmptyConfig,
        build=lambda config, context: sampler(context),
        summary="By score.",
    )


def test_nothing_is_wrong_with_the_sound_one(verdicts) -> None:
    assert verdicts(spec_of(Driven)) == {}


@pytest.mark.parametrize(("check", "sampler", "told"), BROKEN)
def test_a_broken_one_is_found(verdict, check: str, sampler: type[Driven], told: str) -> None:
    assert told in verdict(spec_of(sampler), check)


def test_every_check_has_a_broken_sampler(own_checks) -> None:
    assert {check for check, _, _ in BROKEN} == own_checks(samplers.CHECKS)
