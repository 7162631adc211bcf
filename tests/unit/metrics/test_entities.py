from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertmod.metrics.entities import Entity, entities, entity_counts, entity_scores

TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])
PAIR = st.lists(st.tuples(TAGS, TAGS), max_size=8)


def test_entities_of_both_schemes() -> None:
    first = [Entity("PER", 0, 1), Entity("PER", 2, 2), Entity("LOC", 3, 3)]
    assert entities(["B-PER", "I-PER", "B-PER", "B-LOC", "O"]) == first
    assert entities(["I-PER", "I-PER", "B-PER", "I-LOC", "O"]) == first
    assert entities([]) == []


def test_an_entity_is_right_as_a_whole() -> None:
    right = [["B-PER", "I-PER", "O"], ["B-LOC"], []]
    given = [["B-PER", "B-PER", "B-LOC"], ["B-LOC"], []]
    counts = entity_counts(right, given)
    assert counts.tolist() == [[0, 3, 1], [1, 1, 1], [0, 0, 0]]
    assert entity_scores(counts.sum(axis=0)) == {
        "f1": pytest.approx(1 / 3),
        "precision": 0.25,
        "recall": 0.5,
    }


def test_without_entities_there_is_no_score() -> None:
    scores = entity_scores(entity_counts([["O"]], [["O"]]).sum(axis=0))
    assert scores == {"f1": 0.0, "precision": 0.0, "recall": 0.0}
    with pytest.raises(ValueError, match=r"^0 predictions for 1 labels$"):
        entity_counts([["O"]], [])


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None)
@given(st.lists(PAIR, min_size=1, max_size=5))
def test_scores_are_those_of_seqeval(pairs) -> None:
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    right = [[tag for tag, _ in pair] for pair in pairs]
    guessed = [[tag for _, tag in pair] for pair in pairs]
    precision, recall, f1, _ = precision_recall_fscore_support(
        right, guessed, average="micro", zero_division=0
    )
    scores = entity_scores(entity_counts(right, guessed).sum(axis=0))
    wanted = np.array([f1, precision, recall])
    assert np.allclose(list(scores.values()), wanted, rtol=0, atol=1e-15)
