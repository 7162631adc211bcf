"""Google's TensorFlow checkpoints, read as a run reads them, against Google's own outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bertmod import Feature, HeadContext, TaskInfo
from bertmod.data.collate import collate, host_targets
from bertmod.data.features import FeatureTable
from bertmod.errors import CheckpointError
from bertmod.inference.resident import resident_encoder
from bertmod.model.loading import Component, load_tensors
from bertmod.model.multitask import MultiTaskModel
from bertmod.nn.initialisation import initialise
from bertmod.recipe.opened import OpenedCheckpoint, open_checkpoint

pytestmark = pytest.mark.shared
WANT = frozenset({"layers", "pooled"})
RELEASED, FINE_TUNED = "04_tf_bert", "04_tf_finetuned"
ACTS = {"gelu": "output_erf", "gelu_tanh": "output"}
"""What the recipe says of gelu to the outputs of the code of that time."""

SIDES = ("start", "end")


def opened(path: Path, act: str, *, vocab: Path | None = None) -> OpenedCheckpoint:
    """The checkpoint, with an activation where the file does not tell which of two it means."""
    options = {"encoder": {"hidden_act": act}} if act != "gelu" else {}
    if vocab is not None:
        options["tokenizer"] = {"vocab": str(vocab)}
    return open_checkpoint(path, options=options)


@pytest.fixture
def google(golden_case):
    """Tensors of a case under the names that the port's cases have, and the case's folder."""

    def load(name: str):
        case = golden_case(name)
        names = {"input_mask": "attention_mask", "segment_ids": "token_type_ids"}
        renamed = {f"input/{new}": case.tensors[f"input/{old}"] for old, new in names.items()}
        return case.tensors | renamed, case.folder

    return load


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("act", ACTS)
def test_every_layer_and_the_pooled_output(reference, google, act, layout) -> None:
    tensors, folder = google(RELEASED)
    found = opened(folder, act)
    assert found.loader.spec.name == "tensorflow"
    resident, report = resident_encoder(found, device="cpu")
    assert set(report.skipped.values()) == {
        "optimizer slot",
        "pre-training head that nobody asked for",
        "step counter",
    }
    rows = reference.Rows(tensors, layout)
    with torch.no_grad():
        output = resident.encoder(rows.batch(), want=WANT)
    expected = ["embedding_output", "encoder_layer_0", "encoder_layer_1"]
    assert len(output.layers) == len(expected)
    for name, layer in zip(expected, output.layers, strict=True):
        wanted = tensors[f"{ACTS[act]}/{name}"][rows.real]
        assert largest(rows.tokens(layer), wanted) <= 1e-5, name
    assert largest(output.pooled_RH, tensors[f"{ACTS[act]}/pooled_output"]) <= 1e-5


def test_the_two_gelus_differ_by_more_than_rounding(google) -> None:
    tensors, _ = google(RELEASED)
    both = [tensors[f"{name}/encoder_layer_1"] for name in ACTS.values()]
    assert largest(*both) > 1e-4


def test_the_weights_themselves(google) -> None:
    tensors, folder = google(RELEASED)
    found = opened(folder / "bert_model.ckpt", "gelu").tensors()
    for name, value in tensors.items():
        if name.startswith("weight/"):
            assert torch.equal(found[name.removeprefix("weight/")].load(), value)


def test_a_fine_tuned_folder_has_no_vocabulary(google) -> None:
    _, folder = google(FINE_TUNED)
    with pytest.raises(CheckpointError) as caught:
        opened(folder, "gelu")
    assert str(caught.value) == (
        f"the checkpoint {folder} has no vocabulary\n"
        "  name the vocab.txt that belongs to it, or put it beside the checkpoint's files"
    )


def span_model(reference, found: OpenedCheckpoint) -> MultiTaskModel:
    """The checkpoint's encoder and its head, whose softmax takes padding in as Google's does."""
    assert found.description.heads == {"0": {"name": "bertmod/span"}}
    resident, report = resident_encoder(found, device="cpu")
    assert report.skipped["cls/squad/output_weights"] == "task head that nobody asked for"
    spec = reference.spec("head", "span")
    config, shape = spec.config(mask_padding=False), resident.encoder.shape
    head = spec.build(config, HeadContext("squad", shape, TaskInfo(), initialise, 16))
    names = reference.spec("encoder", "bert").names(found.encoder.config)
    components = [
        Component("encoder", names),
        Component("heads.squad", spec.names(config, shape), head, required=True),
    ]
    report = load_tensors(found.tensors(), found.description, components)
    assert report.used == {
        "cls/squad/output_weights": "heads.squad.qa_outputs.weight",
        "cls/squad/output_bias": "heads.squad.qa_outputs.bias",
    }
    return MultiTaskModel(resident.encoder, {}, {"squad": head}).eval()


def questions(tensors) -> FeatureTable:
    """A feature of each row; every token counts, since Google's program pads all rows alike."""
    ids, types, mask = (
        tensors[f"input/{name}"].numpy()
        for name in ("input_ids", "token_type_ids", "attention_mask")
    )
    places = {side: tensors[f"input/{side}_positions"].numpy() for side in SIDES}
    return FeatureTable.from_features(
        Feature(
            number,
            (
                {
                    "input_ids": ids[number, :length].astype(np.int32),
                    "token_type_ids": types[number, :length].astype(np.uint8),
                },
            ),
            {},
            {side: each[number] for side, each in places.items()},
            {},
        )
        for number, length in enumerate(mask.sum(1))
    )


@pytest.mark.parametrize("act", ACTS)
def test_logits_and_loss_of_a_model_fine_tuned_on_squad(reference, google, golden, act) -> None:
    tensors, folder = google(FINE_TUNED)
    found = opened(folder, act, vocab=golden / RELEASED / "vocab.txt")
    model, table = span_model(reference, found), questions(tensors)
    batch = collate(table, layout=model.head("squad").layout)
    with torch.no_grad():
        output = model(batch, "squad")
    real = tensors["input/attention_mask"].bool()
    for side in SIDES:
        logits = output.logits[side].view(real.shape)
        wanted = tensors[f"{ACTS[act]}/squad/{side}_logits"]
        assert largest(logits[real], wanted[real]) <= 1e-5
    counts = model.head("squad").num_targets(host_targets(table), table.row_lengths)
    loss = sum(
        weight * float(each) / counts[side] for side, (each, weight) in output.losses.items()
    )
    assert abs(loss - float(tensors[f"{ACTS[act]}/squad/loss"])) <= 1e-5
