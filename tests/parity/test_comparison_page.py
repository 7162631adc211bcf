"""The two comparisons that the page executes, repeated on what Google's programs computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bertmod.convert.differences import Differences
from bertmod.convert.sides import States
from bertmod.convert.verification import open_side
from bertmod.data.collate import collate
from bertmod.data.features import Column, FeatureTable
from bertmod.data.ragged import bounds_of
from bertmod.library import build_head
from bertmod.model.multitask import MultiTaskModel

FORMS = {"output_erf": None, "output": "gelu_tanh"}
"""Outputs by form of gelu, and what bertmod is told of it."""

MAXIMUM, DEVIATION = 2e-6, 9e-7
"""Bounds of the differences; the second is the largest that the originals' notebooks report."""

pytest.importorskip("tensorflow")


def feature_table(tensors, **positions: torch.Tensor) -> FeatureTable:
    """Rows of a case without their padding."""
    real = tensors["input/input_mask"].bool().numpy()
    lengths = real.sum(1)
    count = len(lengths)
    return FeatureTable(
        example=np.arange(count),
        row_bounds=np.arange(count + 1),
        token_bounds=bounds_of(lengths),
        tokens={
            "input_ids": tensors["input/input_ids"].numpy()[real],
            "token_type_ids": tensors["input/segment_ids"].numpy()[real],
        },
        positions={name: Column(values.numpy()) for name, values in positions.items()},
    )


@pytest.mark.shared
@pytest.mark.parametrize("form", FORMS)
def test_hidden_states(golden_case, form: str) -> None:
    """Every layer and the pooled output of a checkpoint that TensorFlow wrote and ran."""
    case = golden_case("04_tf_bert")
    real = case.tensors["input/input_mask"].bool()
    theirs = States(
        [
            case.tensors[f"{form}/{name}"][real]
            for name in ("embedding_output", "encoder_layer_0", "encoder_layer_1")
        ],
        case.tensors[f"{form}/pooled_output"],
        {},
    )
    side = open_side(str(case.folder / "bert_model.ckpt"), hidden_act=FORMS[form])
    differences = Differences()
    differences.add(theirs, side.states(feature_table(case.tensors)))
    assert [each.part for each in differences.parts] == [
        "embedding output",
        "layer 0",
        "layer 1",
        "pooled output",
    ]
    assert all(each.maximum < MAXIMUM for each in differences.parts)
    assert all(each.deviation < DEVIATION for each in differences.parts)
    assert differences.unlike == differences.notes == ()


@pytest.mark.shared
def test_the_wrong_gelu_shows(golden_case) -> None:
    case = golden_case("04_tf_bert")
    real = case.tensors["input/input_mask"].bool()
    side = open_side(str(case.folder / "bert_model.ckpt"))
    states = side.states(feature_table(case.tensors))
    apart = (states.layers[-1] - case.tensors["output/encoder_layer_1"][real]).abs().max()
    assert apart > 1e-4


@pytest.mark.shared
@pytest.mark.parametrize("form", FORMS)
def test_squad_loss(golden_case, golden: Path, tmp_path: Path, form: str) -> None:
    """The loss and the logits of ``run_squad.py``, padding taken into the softmax."""
    case = golden_case("04_tf_finetuned")
    starts, ends = (case.tensors[f"input/{side}_positions"] for side in ("start", "end"))
    table = feature_table(case.tensors, start=starts, end=ends)
    length = case.tensors["input/input_ids"].shape[1]
    for file in (*case.folder.iterdir(), golden / "04_tf_bert" / "vocab.txt"):
        (tmp_path / file.name).symlink_to(file)
    path = str(tmp_path / "squad_model.ckpt-137")
    side = open_side(path, task="squad", hidden_act=FORMS[form])
    head = build_head(side.encoder, "squad", "span", mask_padding=False, max_length=length)
    head.load_state_dict(side.head.state_dict())
    model = MultiTaskModel(side.encoder, {}, {"squad": head}).eval()
    with torch.inference_mode():
        output = model(collate(table, layout=length), "squad")
    loss = sum(float(total) * weight for total, weight in output.losses.values()) / len(table)
    assert loss == pytest.approx(float(case.tensors[f"{form}/squad/loss"]), abs=1e-6)
    real = case.tensors["input/input_mask"].bool()
    logits = side.states(table).logits
    for name in ("start", "end"):
        theirs = case.tensors[f"{form}/squad/{name}_logits"][real]
        difference = logits[name] - theirs
        assert float(difference.abs().max()) < MAXIMUM
        assert float(difference.std()) < DEVIATION
