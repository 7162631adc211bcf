from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bertmod.metrics.squad import exact, f1, normalize_answer
from bertmod.metrics.squad_official import (
    best_threshold,
    official_v1,
    official_v2,
    precision_recall,
    precision_recall_curves,
    question_scores,
)

GOLDS = {"a": ("the red cat", "cat"), "b": ("dog",), "c": (), "d": ()}
ANSWERS = {"a": "A red cat.", "b": "dog house", "c": "fish", "d": ""}
ODDS = {"a": -3.0, "b": -1.0, "c": 2.0, "d": 4.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The U.S. and an  Apple\ttree!", "us and apple tree"),
        ("theatre", "theatre"),
        ("a-the", "athe"),
        ("", ""),
        ("the A. an", ""),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert normalize_answer(text) == expected


@given(st.text(), st.text())
def test_scores_are_shares_and_equal_texts_agree(gold: str, prediction: str) -> None:
    for empty_is_match in (True, False):
        assert 0 <= f1(gold, prediction, empty_is_match=empty_is_match) <= 1
    assert exact(gold, gold) == f1(gold, gold, empty_is_match=True) == 1
    assert exact(gold, prediction) <= f1(gold, prediction, empty_is_match=True)


def test_empty_answers_agree_in_version_2_alone() -> None:
    assert f1("the", "a", empty_is_match=True) == 1.0
    assert f1("the", "a", empty_is_match=False) == 0.0
    assert f1("cat", "", empty_is_match=True) == 0.0


def test_version_1_takes_the_nearest_answer_and_counts_what_is_missing() -> None:
    golds = {"a": GOLDS["a"], "b": GOLDS["b"], "x": ("bird",)}
    assert official_v1(golds, {"a": "red cat", "b": "dog house"}) == {
        "exact_match": pytest.approx(100 / 3),
        "f1": pytest.approx(100 * (1 + 2 / 3) / 3),
    }


def test_version_2_scores_both_kinds_of_questions() -> None:
    assert official_v2(GOLDS, ANSWERS) == {
        **{"exact": 50.0, "f1": pytest.approx(100 * (1 + 2 / 3 + 1) / 4), "total": 4},
        **{"HasAns_exact": 50.0, "HasAns_f1": pytest.approx(500 / 6), "HasAns_total": 2},
        **{"NoAns_exact": 50.0, "NoAns_f1": 50.0, "NoAns_total": 2},
    }


def test_a_threshold_takes_answers_away() -> None:
    found = official_v2(GOLDS, ANSWERS, ODDS)
    assert (found["exact"], found["NoAns_exact"]) == (75.0, 100.0)
    assert (found["best_exact"], found["best_exact_thresh"]) == (75.0, -3.0)
    assert (found["best_f1"], found["best_f1_thresh"]) == (pytest.approx(1100 / 12), -1.0)
    lower = official_v2(GOLDS, ANSWERS, ODDS, threshold=-2.0)
    assert (lower["HasAns_exact"], lower["HasAns_f1"]) == (50.0, 50.0)


def test_equal_to_the_threshold_is_answered() -> None:
    assert official_v2({"c": ()}, {"c": "x"}, {"c": 1.0})["exact"] == 0.0
    assert official_v2({"c": ()}, {"c": "x"}, {"c": 1.0}, threshold=0.9)["exact"] == 100.0


def test_a_question_without_prediction_is_wrong_at_every_threshold() -> None:
    answers = {id_: text for id_, text in ANSWERS.items() if id_ != "d"}
    odds = {id_: value for id_, value in ODDS.items() if id_ != "d"}
    found = official_v2(GOLDS, answers, odds)
    assert (found["total"], found["NoAns_exact"]) == (4, 50.0)
    assert found["best_exact"] == 50.0


def test_it_may_be_best_to_answer_nothing() -> None:
    given = {"a": 0.0, "c": 0.0}, {"a": ("x",), "c": ()}, {"a": "y", "c": "z"}, {"a": -2, "c": -1}
    assert best_threshold(*given) == (50.0, 0.0), "the official program's word for it"
    assert best_threshold(*given, nothing=-3.0) == (50.0, -3.0)


def test_right_answers_that_normalise_to_nothing_do_not_count() -> None:
    assert question_scores({"a": ("the", "cat")}, {"a": ""})["exact"] == {"a": 0.0}
    assert question_scores({"a": ("the", "a")}, {"a": ""})["exact"] == {"a": 1.0}


def test_no_threshold_lies_between_equal_odds() -> None:
    golds = {"a": ("x",), "c": (), "b": ("y",)}
    curve = precision_recall({"a": 1.0, "c": 0.0, "b": 1.0}, golds, {"a": 0.0, "c": 0.0, "b": 1.0})
    assert curve.precisions == (1.0, 0.5, pytest.approx(2 / 3))
    assert curve.recalls == (0.0, 0.5, 1.0)
    assert curve.average_precision == pytest.approx(100 * (0.5 * 0.5 + 0.5 * 2 / 3))


def test_there_is_no_curve_where_nothing_has_an_answer() -> None:
    assert precision_recall_curves({"c": ()}, {"c": ""}, {"c": 0.0}) == {}
    assert list(precision_recall_curves(GOLDS, ANSWERS, ODDS)) == ["exact", "f1", "oracle"]
