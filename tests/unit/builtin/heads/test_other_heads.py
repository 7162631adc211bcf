"""Heads of labels that stand together, of choices, tags and spans."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bertmod import EncoderOutput, Feature, HeadContext, TaskInfo
from bertmod.builtin.encoders.config import BertConfig, shape
from bertmod.builtin.heads.plugin import bertmod_heads
from bertmod.data.collate import collate, host_targets
from bertmod.data.features import FeatureTable
from bertmod.nn.initialisation import initialise

SHAPE = shape(BertConfig(hidden_size=8))
SPECS = {spec.name: spec for spec in bertmod_heads()}
LABELS = TaskInfo(labels=("no", "maybe", "yes"))
LAYOUTS = ("packed", "padded", 24)


def build(name: str, info: TaskInfo = LABELS, *, max_length=None, **options):
    torch.manual_seed(0)
    spec = SPECS[name]
    context = HeadContext("task", SHAPE, info, initialise, max_length)
    return spec.build(spec.config(**options), context).eval()


def table(lengths, targets=(), positions=()) -> FeatureTable:
    """Features of rows of these lengths; their n-th ones have the n-th targets and positions."""

    def row(length: int) -> dict[str, np.ndarray]:
        return {"input_ids": np.arange(1, length + 1, dtype=np.int32)}

    return FeatureTable.from_features(
        Feature(
            number,
            tuple(row(length) for length in rows),
            {name: np.asarray(values[number]) for name, values in dict(targets).items()},
            {name: np.asarray(values[number]) for name, values in dict(positions).items()},
            {},
        )
        for number, rows in enumerate(lengths)
    )


def answer(head, features: FeatureTable, layout="packed"):
    """The head's output for an encoder that says the same of a token in every layout."""
    batch = collate(features, layout=layout)
    context = batch.context
    seed = 100 * context.row_of_token_T + context.position_of_token_T
    hidden = torch.sin(seed[:, None] * torch.arange(1.0, 9.0))
    pooled = torch.cos(torch.arange(len(context.lengths_R))[:, None] * torch.arange(1.0, 9.0))
    return batch, head(EncoderOutput(hidden, pooled), batch)


def counts(head, features: FeatureTable) -> dict[str, float]:
    return dict(head.num_targets(host_targets(features), features.row_lengths))


SPANS = table(
    [(5,), (20,), (3,), (7,)],
    positions={"start": [1, 18, -2, 9], "end": [2, 25, 2, 6]},
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_spans_count_each_side_for_itself(layout) -> None:
    """Packed rows have padding at their ends; it has no part in the softmax."""
    head = build("span")
    assert counts(head, SPANS) == {"start": 3.0, "end": 3.0}
    batch, output = answer(head, SPANS, layout)
    decoded = head.decode(output, batch)
    for side, places in (("start", [1, 18, 0, None]), ("end", [2, None, 2, 6])):
        loss, weight = output.losses[side]
        logs = [torch.from_numpy(each[f"{side}_logits"]).log_softmax(0) for each in decoded]
        expected = -sum(
            log[place] for log, place in zip(logs, places, strict=True) if place is not None
        )
        assert weight == 0.5
        torch.testing.assert_close(loss, expected, rtol=0, atol=1e-5)


def test_a_span_head_that_takes_padding_in_states_the_length() -> None:
    head = build("span", mask_padding=False, max_length=24)
    assert (head.layout, build("span", max_length=24).layout) == (24, "any")
    batch, output = answer(head, SPANS, head.layout)
    rows = output.logits["start"].view(4, 24)
    expected = F.cross_entropy(rows, torch.tensor([1, 18, 0, -1]), ignore_index=-1, reduction="sum")
    torch.testing.assert_close(output.losses["start"][0], expected)
    assert len(head.decode(output, batch)[2]["end_logits"]) == 3
    with pytest.raises(ValueError, match='task "task": a span head with "mask_padding": false'):
        build("span", mask_padding=False)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_choices_whose_number_differs(layout) -> None:
    features = table([(4, 9), (2, 3, 5), (6,), (3, 3)], {"labels": [1, 2, 0, -1]})
    head = build("multiple_choice", TaskInfo())
    assert counts(head, features) == {"choice": 3.0}
    batch, output = answer(head, features, layout)
    decoded = head.decode(output, batch)
    assert [len(each["logits"]) for each in decoded] == [2, 3, 1, 2]
    expected = -sum(
        np.log(each["probabilities"][n]) for each, n in zip(decoded, (1, 2, 0), strict=False)
    )
    assert abs(float(output.losses["choice"][0].detach()) - expected) <= 1e-5
    assert decoded[2]["probabilities"].tolist() == [1.0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tags_of_words_that_lie_in_the_feature(layout) -> None:
    features = table(
        [(6,), (20,), (4,)],
        {"labels": [[0, 1, 2], [2], [-1, 1]]},
        {"words": [[1, 3, 8], [17], [1, 2]]},
    )
    assert features.positions["words"].bounds is not None
    head = build("token_classification")
    assert counts(head, features) == {"tags": 4.0}
    batch, output = answer(head, features, layout)
    decoded = [each["probabilities"] for each in head.decode(output, batch)]
    assert [each.shape for each in decoded] == [(6, 3), (20, 3), (4, 3)]
    right = (decoded[0][1, 0], decoded[0][3, 1], decoded[1][17, 2], decoded[2][2, 1])
    assert abs(float(output.losses["tags"][0].detach()) + np.log(right).sum()) <= 1e-5


def test_tags_of_features_with_equally_many_words() -> None:
    """Their columns have two axes then; the loss is the same."""
    head, labels, words = build("token_classification"), [[0, 1], [2, 0]], [[1, 2], [0, 9]]
    features = table([(6,), (4,)], {"labels": labels}, {"words": words})
    ragged = table([(6,), (4,), (2,)], {"labels": [*labels, [1]]}, {"words": [*words, [7]]})
    assert features.positions["words"].bounds is None
    assert counts(head, features) == counts(head, ragged) == {"tags": 3.0}
    first, second = (answer(head, each)[1].losses["tags"][0] for each in (features, ragged))
    torch.testing.assert_close(first, second)


def test_flags_that_are_not_known_do_not_count() -> None:
    nan = float("nan")
    flags = np.array([[1, 0, 1], [nan, nan, nan], [-1, -1, -1], [0, nan, 1]], np.float32)
    features = table([(2,)] * 4, {"labels": flags})
    head = build("multi_label")
    assert counts(head, features) == {"multi_label": 5.0}
    batch, output = answer(head, features)
    loss, weight = output.losses["multi_label"]
    one = np.array([each["probabilities"] for each in head.decode(output, batch)])
    right = [one[0, 0], 1 - one[0, 1], one[0, 2], 1 - one[3, 0], one[3, 2]]
    assert abs(float(loss.detach()) + np.log(right).sum()) <= 1e-5
    assert weight == 1.0
    loss.backward()
    assert head.classifier.weight.grad.isfinite().all()


@pytest.mark.parametrize("name", ["multi_label", "token_classification"])
def test_a_task_without_labels(name) -> None:
    with pytest.raises(ValueError, match=f'task "task" has no labels, which a {name} head needs'):
        build(name, TaskInfo())
