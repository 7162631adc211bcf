"""The encoder and its heads against outputs of the first PyTorch port."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertmod.builtin.encoders.plugin import BertConfig

pytestmark = pytest.mark.shared
WANT = frozenset({"layers", "pooled"})
LAYOUTS = ("packed", "padded", "packed fast")
FILES = ("model.safetensors", "pytorch_model.bin")


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layer_and_the_pooled_output(
    reference, golden_case, tmp_path: Path, layout, file
) -> None:
    case = golden_case("01_bert_model")
    reference.write_folder(
        tmp_path, case.info["config"], reference.weights(case.tensors), file=file
    )
    loaded, rows = reference.Loaded("huggingface", tmp_path), reference.Rows(case.tensors, layout)
    assert (loaded.report.skipped, loaded.report.initialised) == ({}, ())
    with torch.no_grad():
        output = loaded.model.encoder(rows.batch(), want=WANT)
    expected = ["embedding_output", "encoder_layer_0", "encoder_layer_1"]
    assert len(output.layers) == len(expected)
    for name, found in zip(expected, output.layers, strict=True):
        wanted = case.tensors[f"output/{name}"][rows.real]
        assert largest(rows.tokens(found), wanted) <= 1e-5, name
    assert output.layers[-1] is output.hidden_TH
    assert largest(output.pooled_RH, case.tensors["output/pooled_output"]) <= 1e-5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_mask_and_segments(reference, golden_case, tmp_path: Path, layout) -> None:
    case = golden_case("01_bert_model")
    reference.write_folder(
        tmp_path, case.info["config"], reference.weights(case.tensors), file=FILES[0]
    )
    rows = reference.Rows(case.tensors, layout, defaults=True)
    with torch.no_grad():
        output = reference.Loaded("huggingface", tmp_path).model.encoder(rows.batch(), want=WANT)
    sequence = case.tensors["output_defaults/sequence_output"].flatten(0, 1)
    assert largest(output.hidden_TH, sequence) <= 1e-5
    assert largest(output.pooled_RH, case.tensors["output_defaults/pooled_output"]) <= 1e-5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sequence_classification(reference, golden_case, tmp_path: Path, layout) -> None:
    case = golden_case("01_sequence_classification")
    values = {**case.info["config"], "architectures": ["BertForSequenceClassification"]}
    reference.write_folder(tmp_path, values, reference.weights(case.tensors), file=FILES[0])
    loaded = reference.Loaded("huggingface", tmp_path, tasks=("topic",), num_labels={"topic": 5})
    rows = reference.Rows(case.tensors, layout)
    with torch.no_grad():
        output = loaded.model(rows.batch(case.tensors["input/labels"]), "topic")
    loss, weight = output.losses["classification"]
    assert largest(output.logits["logits"], case.tensors["output/logits"]) <= 1e-5
    assert weight == 1.0
    assert abs(float(loss) / len(rows.lengths) - float(case.tensors["output/loss"])) <= 1e-5


SIZES = {
    "tiny": 4_385_920,
    "mini": 11_170_560,
    "small": 28_763_648,
    "medium": 41_373_184,
    "base": 109_482_240,
    "large": 335_141_888,
}


@pytest.mark.parametrize("size", SIZES)
def test_published_sizes(reference, size: str) -> None:
    rows = reference.spec("encoder", "bert").names(BertConfig(size=size))
    assert sum(torch.Size(row.shape).numel() for row in rows) == SIZES[size]
