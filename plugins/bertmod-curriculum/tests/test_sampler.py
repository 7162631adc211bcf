"""The sampler's probabilities, worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bertmod import CheckpointError, Sampler, SamplerContext, ScoreInfo, TrainingError
from bertmod_curriculum.plugin import CurriculumConfig, build_curriculum, check_curriculum
from bertmod_curriculum.sampler import distance

TASKS = ("cola", "mrpc", "perplexity")
ALL = frozenset(TASKS)
SCORED = {
    "cola": ScoreInfo("dev/matthews", baseline=0.0),
    "mrpc": ScoreInfo("dev/accuracy", baseline=0.6),
    "perplexity": ScoreInfo("dev/loss", greater_is_better=False, baseline=4.0),
}


def sampler(*, scored=SCORED, sizes=(100.0, 100.0, 400.0), **options) -> Sampler:
    context = SamplerContext(TASKS, np.array(sizes), scored)
    return build_curriculum(CurriculumConfig(**options), context)


def given(made: Sampler, running: frozenset[str] = ALL) -> list[float]:
    return made.probabilities(0, 0, 1, running).tolist()


def test_it_starts_by_size() -> None:
    assert given(sampler()) == pytest.approx([10 / 40, 10 / 40, 20 / 40])
    assert given(sampler(size_exponent=0.0)) == pytest.approx([1 / 3] * 3)
    assert given(sampler(size_exponent=1.0)) == pytest.approx([1 / 6, 1 / 6, 4 / 6])


def test_tasks_far_from_their_goal_are_drawn_more_often() -> None:
    made = sampler(smoothing=0.0, size_exponent=0.0)
    # Left of the way: (1 - 0.4) / (1 - 0), (1 - 0.9) / (1 - 0.6), (0 - 1) / (0 - 4).
    made.observe(10, {"cola": 0.4, "mrpc": 0.9, "perplexity": 1.0})
    assert given(made) == pytest.approx([0.6 / 1.1, 0.25 / 1.1, 0.25 / 1.1])


def test_sizes_and_distances_multiply() -> None:
    made = sampler(smoothing=0.0)
    made.observe(10, {"cola": 0.5, "mrpc": 0.6, "perplexity": 2.0})
    weights = np.array([10 * 0.5, 10 * 1.0, 20 * 0.5])
    assert given(made) == pytest.approx(weights / weights.sum())


def test_smoothing_keeps_a_share_of_the_distance() -> None:
    made = sampler(smoothing=0.75, size_exponent=0.0)
    made.observe(10, {"cola": 0.6})  # 0.75 * 1 + 0.25 * 0.4
    made.observe(20, {"cola": 0.2})  # 0.75 * 0.85 + 0.25 * 0.8
    assert given(made) == pytest.approx([0.8375 / 2.8375, 1 / 2.8375, 1 / 2.8375])


def test_the_floor_keeps_every_task() -> None:
    made = sampler(smoothing=0.0, size_exponent=0.0, floor=0.1)
    made.observe(10, {"cola": 1.0, "mrpc": 0.99, "perplexity": 5.0})
    assert given(made) == pytest.approx([0.1 / 1.2, 0.1 / 1.2, 1 / 1.2])


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_temperature(temperature) -> None:
    made = sampler(smoothing=0.0, size_exponent=0.0, temperature=temperature)
    made.observe(10, {"cola": 0.5, "mrpc": 0.9, "perplexity": 4.0})
    weights = np.array([0.5, 0.25, 1.0]) ** (1 / temperature)
    assert given(made) == pytest.approx(weights / weights.sum())


@pytest.mark.parametrize("temperature", [0.0, 1e-320, 0.0009])
def test_a_temperature_that_leaves_no_numbers_is_refused(temperature) -> None:
    with pytest.raises(ValueError, match=r"greater than or equal to 0\.001"):
        CurriculumConfig(temperature=temperature)


def test_a_tiny_temperature_takes_the_farthest_task() -> None:
    made = sampler(smoothing=0.0, temperature=1e-3)
    made.observe(10, {"cola": 0.5, "mrpc": 0.9, "perplexity": 2.1})
    assert given(made) == pytest.approx([0.0, 0.0, 1.0])
    made.observe(20, {"perplexity": 0.5})
    assert given(made) == pytest.approx([1.0, 0.0, 0.0])


def test_stated_goals() -> None:
    made = sampler(smoothing=0.0, size_exponent=0.0, goals={"cola": 0.5, "perplexity": 3.0})
    made.observe(10, {"cola": 0.25, "mrpc": 0.6, "perplexity": 3.5})
    assert given(made) == pytest.approx([0.25, 0.5, 0.25])


def test_stopped_tasks_have_probability_0() -> None:
    made = sampler()
    assert given(made, frozenset({"mrpc", "perplexity"})) == pytest.approx([0.0, 1 / 3, 2 / 3])
    with pytest.raises(TrainingError, match="none of the sampler's tasks runs: cola, mrpc, perp"):
        given(made, frozenset())


@pytest.mark.parametrize(
    "scores", [{}, {"cola": float("nan"), "mrpc": float("inf")}, {"unknown": 0.3}]
)
def test_scores_that_say_nothing_change_nothing(scores) -> None:
    made, before = sampler(), sampler().state_dict()
    made.observe(10, scores)
    assert made.state_dict() == before


@pytest.mark.parametrize("baseline", [None, float("nan")])
def test_without_a_baseline_the_first_score_is_one(baseline) -> None:
    scored = {**SCORED, "cola": ScoreInfo("dev/f1", baseline=baseline)}
    made = sampler(scored=scored, smoothing=0.0, size_exponent=0.0)
    made.observe(10, {"cola": 0.2})
    assert given(made) == pytest.approx([1 / 3] * 3)
    made.observe(20, {"cola": 0.6})
    assert given(made) == pytest.approx([0.2, 0.4, 0.4])


@pytest.mark.parametrize(
    ("score", "expected"), [(0.9, 0.0), (0.6, 0.0), (0.55, 1.0)], ids=["beyond", "at", "before"]
)
def test_a_goal_that_the_baseline_reaches(score, expected) -> None:
    assert distance(score, baseline=0.7, goal=0.6, greater_is_better=True) == expected
    assert distance(-score, baseline=-0.7, goal=-0.6, greater_is_better=False) == expected


def test_the_state_is_json_and_goes_on_exactly() -> None:
    scored = {**SCORED, "cola": ScoreInfo("dev/f1")}
    whole, first = sampler(scored=scored), sampler(scored=scored)
    for made in (whole, first):
        made.observe(10, {"cola": 0.1, "mrpc": 0.7, "perplexity": 1 / 3})
    second = sampler(scored=scored)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for made in (whole, second):
        made.observe(20, {"cola": 0.2, "mrpc": 0.71, "perplexity": 0.3})
    assert given(whole) == given(second)
    assert whole.state_dict() == second.state_dict()


def test_a_state_that_is_not_its_own() -> None:
    with pytest.raises(CheckpointError) as caught:
        sampler().load_state_dict({"turn": 3})
    assert str(caught.value) == (
        'the checkpoint\'s sampler state has turn; the sampler "curriculum" keeps baselines, '
        "distances: resume with the sampler that the run was started with"
    )
    with pytest.raises(CheckpointError) as caught:
        sampler().load_state_dict({"distances": {"rte": 1.0}, "baselines": {}})
    assert str(caught.value) == (
        "the checkpoint's sampler knows the tasks rte; this run trains cola, mrpc, perplexity"
    )


def test_a_goal_for_a_task_that_does_not_train() -> None:
    (problem,) = check_curriculum(CurriculumConfig(goals={"mrpc": 0.9, "cole": 0.5}), TASKS)
    assert (problem.path, problem.what) == ("goals.cole", 'no task called "cole" trains')
    assert problem.more == ("tasks that train: cola, mrpc, perplexity",)
