"""Heads of masked pieces and of next sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bertmod import DataError, EncoderOutput, Feature, HeadContext, TaskInfo
from bertmod.builtin.encoders.config import BertConfig, shape
from bertmod.builtin.heads.plugin import bertmod_heads
from bertmod.data.collate import collate, host_targets
from bertmod.data.features import FeatureTable
from bertmod.nn.initialisation import initialise

VOCAB = 12
SHAPE = shape(BertConfig(hidden_size=8, vocab_size=VOCAB))
SPECS = {spec.name: spec for spec in bertmod_heads()}
MASK = 3
IDS = ([1, 3, 4, 3, 2], [5, 6], [3, 7, 3, 3])
"""Rows of ids; two, none and three of them are masks."""


def build(name: str, info: TaskInfo | None = None, **options):
    torch.manual_seed(0)
    spec = SPECS[name]
    context = HeadContext("task", SHAPE, info or TaskInfo(), initialise)
    return spec.build(spec.config(**options), context).eval()


def table(labels=None, words=None) -> FeatureTable:
    """The rows, and where words are given their pieces."""
    return FeatureTable.from_features(
        Feature(
            number,
            ({"input_ids": np.array(ids, np.int32)},),
            {} if labels is None else {"labels": np.asarray(labels[number])},
            {} if words is None else {"words": np.asarray(words[number])},
            {},
        )
        for number, ids in enumerate(IDS)
    )


def answer(head, features: FeatureTable, layout="packed"):
    """The head's output for an encoder that says the same of a token in every layout."""
    batch = collate(features, layout=layout)
    context = batch.context
    seed = 100 * context.row_of_token_T + context.position_of_token_T
    hidden = torch.sin(seed[:, None] * torch.arange(1.0, 9.0))
    pooled = torch.cos(torch.arange(len(context.lengths_R))[:, None] * torch.arange(1.0, 9.0))
    words = torch.cos(torch.arange(VOCAB)[:, None] * torch.arange(1.0, 9.0))
    return batch, head(EncoderOutput(hidden, pooled, None, words), batch)


def test_parameters_of_released_models() -> None:
    """The dense layer, its LayerNorm and one bias per piece; the decoder is the encoder's."""
    base = shape(BertConfig(size="base"))
    spec = SPECS["masked_lm"]
    config = spec.config()
    assert spec.num_parameters(config, base, 0) == 768 * 768 + 3 * 768 + 30522
    assert [name.canonical for name in spec.names(config, base) if name.tied] == ["decoder.weight"]
    assert SPECS["next_sentence"].num_parameters(SPECS["next_sentence"].config(), base, 2) == 1538


def test_an_encoder_that_states_no_vocabulary() -> None:
    spec, silent = SPECS["masked_lm"], replace(SHAPE, vocab_size=None)
    with pytest.raises(ValueError, match="states no vocab_size, which a masked_lm head needs"):
        spec.build(spec.config(), HeadContext("task", silent, TaskInfo(), initialise))


@pytest.mark.parametrize("layout", ["packed", "padded", 24])
def test_masks_are_filled_in(layout) -> None:
    """What is decoded of the masks is what is decoded of these tokens among all."""
    with torch.no_grad():
        every, masks = build("masked_lm", top_k=4), build("masked_lm", top_k=4, mask_id=MASK)
        batch, output = answer(every, table(), layout)
        whole = every.decode(output, batch)
        batch, output = answer(masks, table(), layout)
        found = masks.decode(output, batch)
    assert len(output.logits["logits"]) == 5
    assert [each["tokens"].tolist() for each in whole] == [list(range(len(ids))) for ids in IDS]
    assert [each["tokens"].tolist() for each in found] == [[1, 3], [], [0, 2, 3]]
    for one, all_of_it in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one["pieces"], all_of_it["pieces"][one["tokens"]])
        np.testing.assert_allclose(
            one["log_probabilities"], all_of_it["log_probabilities"][one["tokens"]], atol=1e-6
        )
        assert one["pieces"].shape == (len(one["tokens"]), 4)
        assert (np.diff(one["log_probabilities"]) <= 0).all()


def test_a_vocabulary_of_fewer_pieces_than_are_kept() -> None:
    with torch.no_grad():
        head = build("masked_lm", top_k=100)
        batch, output = answer(head, table())
        decoded = head.decode(output, batch)
    for arrays in decoded:
        np.testing.assert_allclose(np.exp(arrays["log_probabilities"]).sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("layout", ["packed", "padded", 24])
def test_only_words_with_a_piece_that_lie_in_the_feature_count(layout) -> None:
    features = table([[9, 8, 7], [1], [-1, 11]], [[1, 3, 9], [1], [0, 2]])
    head = build("masked_lm", top_k=VOCAB)
    counts = head.num_targets(host_targets(features), features.row_lengths)
    assert counts == {"masked_lm": 4.0}
    with torch.no_grad():
        batch, output = answer(head, features, layout)
        decoded = head.decode(output, batch)
    assert output.logits.keys() == {"words"}
    assert len(output.logits["words"]) == 6  # no other token is projected, at evaluation either
    assert [each["tokens"].tolist() for each in decoded] == [[1, 3], [1], [0, 2]]
    right = 0.0
    for feature, place, piece in ((0, 0, 9), (0, 1, 8), (1, 0, 1), (2, 1, 11)):
        arrays = decoded[feature]
        own = arrays["log_probabilities"][place][arrays["pieces"][place] == piece].item()
        assert abs(arrays["label_log_probabilities"][place] - own) <= 1e-6
        right += own
    assert decoded[2]["label_log_probabilities"][0] == 0.0  # it has no piece
    loss, weight = output.losses["masked_lm"]
    assert weight == 1.0
    assert abs(float(loss) + right) <= 1e-5


def test_words_without_pieces_are_asked_about_in_the_order_of_tokens() -> None:
    features = table(words=[[3, 1, 9], [0, 0, 7], [2, 1, 0]])
    with torch.no_grad():
        head, every = build("masked_lm"), build("masked_lm")
        batch, output = answer(head, features)
        found = head.decode(output, batch)
        whole = every.decode(*reversed(answer(every, table())))
    assert [each["tokens"].tolist() for each in found] == [[1, 3], [0, 0], [0, 1, 2]]
    for one, all_of_it in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one["pieces"], all_of_it["pieces"][one["tokens"]])
        assert "label_log_probabilities" not in one


def test_words_of_a_feature_of_several_rows() -> None:
    """Tokens are counted on from row to row, as positions are."""
    rows = tuple({"input_ids": np.array(ids, np.int32)} for ids in IDS)
    one = Feature(0, rows, {}, {"words": np.array([6, 1, 5])}, {})
    other = Feature(1, rows[:1], {}, {"words": np.array([2, 0, 40])}, {})
    features = FeatureTable.from_features([one, other])
    with torch.no_grad():
        head = build("masked_lm")
        batch, output = answer(head, features)
        found = head.decode(output, batch)
    assert [each["tokens"].tolist() for each in found] == [[1, 5, 6], [0, 2]]


def both(words, labels, following) -> FeatureTable:
    """The rows with what a head of both losses reads."""
    return FeatureTable.from_features(
        Feature(
            number,
            ({"input_ids": np.array(ids, np.int32)},),
            {"labels": np.array(labels[number]), "next_sentence": np.array(following[number])},
            {"words": np.array(words[number])},
            {},
        )
        for number, ids in enumerate(IDS)
    )


def test_both_heads_side_by_side_answer_as_alone() -> None:
    words, labels, following = [[1, 3], [1], [0]], [[9, 8], [1], [11]], [1, -1, 0]
    head = build("pretraining", top_k=VOCAB)
    pieces, order = build("masked_lm", top_k=VOCAB), build("next_sentence")
    pieces.load_state_dict(head.masked_lm.state_dict())
    order.load_state_dict(head.next_sentence.state_dict())
    features = both(words, labels, following)
    counts = head.num_targets(host_targets(features), features.row_lengths)
    assert counts == {"masked_lm": 4.0, "next_sentence": 2.0}
    batch, output = answer(head, features)
    assert output.logits.keys() == {"next_sentence"}
    one = answer(pieces, table(labels, words))[1].losses["masked_lm"][0]
    other = answer(order, table(following))[1].losses["next_sentence"][0]
    assert torch.equal(output.losses["masked_lm"][0], one)
    assert torch.equal(output.losses["next_sentence"][0], other)
    with torch.no_grad():
        batch, output = answer(head, features)
        found = head.decode(output, batch)
        alone = pieces.decode(*reversed(answer(pieces, table(labels, words))))
        nexts = order.decode(*reversed(answer(order, table(following))))
    for each, masked, follows in zip(found, alone, nexts, strict=True):
        assert each.keys() == {*masked, "probabilities"}
        np.testing.assert_array_equal(each["pieces"], masked["pieces"])
        np.testing.assert_array_equal(each["probabilities"], follows["probabilities"])
    assert head.want == {"hidden", "word_embeddings", "pooled"}
    assert head.info.labels == ("next", "random")


def test_parameters_of_both() -> None:
    base = shape(BertConfig(size="base"))
    spec = SPECS["pretraining"]
    assert spec.num_parameters(spec.config(), base, 2) == 768 * 768 + 3 * 768 + 30522 + 1538


def test_training_gives_no_logits() -> None:
    """Of a vocabulary for each token of a step nobody would read anything."""
    features = table([[9], [1], [2]], [[1], [0], [3]])
    _, output = answer(build("masked_lm"), features)
    assert not output.logits
    assert output.losses["masked_lm"][0].requires_grad
    assert answer(build("masked_lm"), table())[1].logits.keys() == {"logits"}


def test_labels_of_what_follows() -> None:
    assert build("next_sentence").info.labels == ("next", "random")
    own = TaskInfo(labels=("continues", "does not"))
    assert build("next_sentence", own).info.labels == own.labels
    with pytest.raises(DataError) as caught:
        build("next_sentence", TaskInfo(labels=("a", "b", "c")))
    assert str(caught.value) == (
        'task "task" has 3 labels, but a next_sentence head tells 2 apart\n'
        "  labels: a, b, c\n  give the task another head"
    )


def test_rows_without_a_label_do_not_count() -> None:
    features, head = table([1, -1, 0]), build("next_sentence")
    counts = head.num_targets(host_targets(features), features.row_lengths)
    assert counts == {"next_sentence": 2.0}
    batch, output = answer(head, features)
    decoded = [each["probabilities"] for each in head.decode(output, batch)]
    expected = -np.log(decoded[0][1]) - np.log(decoded[2][0])
    assert abs(float(output.losses["next_sentence"][0].detach()) - expected) <= 1e-5
