"""Labels are matched by name."""

from __future__ import annotations

import pytest

from bertmod import CheckpointError
from bertmod.model.label_order import label_order

GOOGLE = ("contradiction", "entailment", "neutral")


@pytest.mark.parametrize(
    ("found", "order"),
    [
        (GOOGLE, None),
        (("CONTRADICTION", "Entailment", "neutral"), None),
        (("entailment", "neutral", "contradiction"), (2, 0, 1)),
        (("contradiction", "neutral", "entailment"), (0, 2, 1)),
        (("NEUTRAL", "ENTAILMENT", "CONTRADICTION"), (2, 1, 0)),
    ],
)
def test_the_orders_of_mnli(found, order) -> None:
    assert label_order(GOOGLE, found, source="x") == order


def test_names_that_differ_in_case_alone() -> None:
    assert label_order(("b", "B", "a"), ("a", "b", "B"), source="x") == (1, 2, 0)
    assert label_order(("a", "B"), ("b", "a"), source="x") == (1, 0)
    for wanted, found in ((("b", "B"), ("b", "X")), (("b", "B"), ("B", "c")), (("a",), ("b", "B"))):
        with pytest.raises(CheckpointError, match="the labels are not the task's"):
            label_order(wanted, found, source="x")


@pytest.mark.parametrize(
    "found", [("entailment", "not_entailment"), (*GOOGLE, "other"), ("a", "b", "c"), ()]
)
def test_other_labels_are_refused(found) -> None:
    with pytest.raises(CheckpointError) as caught:
        label_order(GOOGLE, found, source='there: head of "mnli"')
    assert str(caught.value) == (
        'there: head of "mnli": the labels are not the task\'s\n'
        f"  in the file: {', '.join(found)}\n"
        "  of the task: contradiction, entailment, neutral\n"
        "  if they mean the same, name them so in a copy: bertmod convert ... --to bertmod "
        "--labels A,B\n"
        "  else leave the head out of the checkpoint's use, so that it starts afresh"
    )
