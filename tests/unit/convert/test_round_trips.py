"""There and back again: every value to the bit, and whatever else the formats can say."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from bertmod.convert import convert
from bertmod.recipe.opened import open_checkpoint

NLI = {"id2label": {0: "neutral", 1: "contradiction", 2: "entailment"}}
TAGS = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}}
MODELS = {
    "encoder": ("BertModel", {}),
    "classes": ("BertForSequenceClassification", NLI),
    "unnamed classes": ("BertForSequenceClassification", {"num_labels": 4}),
    "value": ("BertForSequenceClassification", {"num_labels": 1}),
    "flags": (
        "BertForSequenceClassification",
        {**NLI, "problem_type": "multi_label_classification"},
    ),
    "span": ("BertForQuestionAnswering", {}),
    "tags": ("BertForTokenClassification", TAGS),
    "choice": ("BertForMultipleChoice", {}),
    "masked": ("BertForMaskedLM", {}),
    "next sentence": ("BertForNextSentencePrediction", {}),
    "pre-training": ("BertForPreTraining", {}),
}
GOOGLE = ("encoder", "classes", "value", "span", "masked", "next sentence", "pre-training")
"""Those that Google's format has names for."""


def said(folder: Path):
    """Encoder, tokenizer and heads of a checkpoint, and their labels."""
    opened = open_checkpoint(folder)
    found = opened.description
    tokenizer = {**opened.tokenizer.to_json(), "vocab": None}
    heads = [
        (slot["name"], found.infos[key].labels if key in found.infos else None)
        for key, slot in found.heads.items()
    ]
    return opened.encoder.to_json(), tokenizer, heads


@pytest.mark.parametrize("kind", MODELS)
def test_hugging_face_through_bertmod(saved, same_values, tmp_path, kind) -> None:
    architecture, config = MODELS[kind]
    source = saved(architecture, **config)
    there = convert(source, tmp_path / "own", to="bertmod")
    back = convert(tmp_path / "own", tmp_path / "back", to="huggingface")
    same_values(source, tmp_path / "back")
    assert there.encoder_hash == back.encoder_hash
    before, after = said(source), said(tmp_path / "back")
    assert before[:2] == after[:2]
    assert len(before[2]) == len(after[2])
    for (old, labels), (new, kept) in zip(before[2], after[2], strict=True):
        assert old == new
        assert kept == labels or labels is None  # bertmod's heads need names: numbers, then


@pytest.mark.parametrize("kind", GOOGLE)
def test_hugging_face_through_tensorflow(saved, same_values, tmp_path, kind) -> None:
    architecture, config = MODELS[kind]
    source = saved(architecture, **config)
    there = convert(source, tmp_path / "google", to="tensorflow")
    back = convert(tmp_path / "google", tmp_path / "back", to="huggingface")
    same_values(source, tmp_path / "back")
    assert there.encoder_hash == back.encoder_hash
    assert said(source) == said(tmp_path / "back")


@pytest.mark.parametrize("to", ["huggingface", "tensorflow"])
@pytest.mark.parametrize("kind", ["classes", "span"])
def test_bertmod_through_others(saved, same_values, tmp_path, kind, to) -> None:
    architecture, config = MODELS[kind]
    convert(saved(architecture, **config), tmp_path / "own", to="bertmod", tasks=["asked"])
    there = convert(tmp_path / "own", tmp_path / "there", to=to)
    back = convert(tmp_path / "there", tmp_path / "back", to="bertmod", tasks=["asked"])
    same_values(tmp_path / "own", tmp_path / "back")
    assert there.encoder_hash == back.encoder_hash
    assert said(tmp_path / "own") == said(tmp_path / "back")
    own, copied = (
        json.loads((tmp_path / name / "asked/task.json").read_text()) for name in ("own", "back")
    )
    assert own == copied


def test_what_bertmod_wrote_keeps_every_fact(saved, same_values, tmp_path) -> None:
    convert(saved("BertForSequenceClassification", **NLI), tmp_path / "own", to="bertmod")
    record = tmp_path / "own/task_0/task.json"
    facts = {"metric": "dev/accuracy", "score": 0.75, "step": 12, "recipe_hash": "ab"}
    facts["merged_from"] = [{"id": "one", "coefficient": 0.5}]
    facts["init"] = {"layer_norm": "normal"}
    record.write_text(json.dumps({**json.loads(record.read_text()), **facts}))
    convert(tmp_path / "own", tmp_path / "copy", to="bertmod")
    same_values(tmp_path / "own", tmp_path / "copy")
    assert json.loads((tmp_path / "copy/task_0/task.json").read_text()) == json.loads(
        record.read_text()
    )
    assert asdict(open_checkpoint(tmp_path / "copy").description)["facts"]["task_0"]["step"] == 12


def test_float64_is_rounded_and_told(saved, tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    source = saved("BertModel")
    file = source / "model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if name.endswith("pooler.dense.bias"))
    tensors[name] = tensors[name].double() / 3
    save_file(tensors, file, metadata={"format": "pt"})
    done = convert(source, tmp_path / "own", to="bertmod")
    assert done.report.rounded == (name,)
    assert "- rounded from float64 to fp32: 1 tensor" in (tmp_path / "own/README.md").read_text()


@torch.inference_mode()
def test_a_real_model_there_and_back(minilm, same_values, tmp_path) -> None:
    """Its weights to the bit, and transformers computes the same with them."""
    from transformers import AutoModel, AutoTokenizer

    convert(minilm, tmp_path / "own", to="bertmod")
    convert(tmp_path / "own", tmp_path / "back", to="huggingface")
    same_values(minilm, tmp_path / "back")
    texts = ["The cat sat on the mat.", "Zürich, 27 °C: unaffordable?"]
    found = []
    for folder in (minilm, tmp_path / "back"):
        tokens = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
        model = AutoModel.from_pretrained(folder).eval()
        found.append((tokens["input_ids"], model(**tokens).last_hidden_state))
    assert all(map(torch.equal, *found))


@pytest.mark.shared
@torch.inference_mode()
def test_googles_checkpoint_run_by_transformers(golden_case, tmp_path) -> None:
    """What TensorFlow computed of its own file, layer by layer, another library computes."""
    from transformers import BertForPreTraining

    case = golden_case("04_tf_bert")
    done = convert(case.folder, tmp_path / "copy", to="huggingface")
    assert set(done.report.skipped.values()) == {"optimizer slot", "step counter"}
    model = BertForPreTraining.from_pretrained(tmp_path / "copy").eval()
    given = {
        name: case.tensors[f"input/{name}"].long()
        for name in ("input_ids", "input_mask", "segment_ids", "masked_lm_positions")
    }
    real = given["input_mask"].bool()
    tokens = {"attention_mask": given["input_mask"], "token_type_ids": given["segment_ids"]}
    output = model(given["input_ids"], **tokens, output_hidden_states=True)
    rows = torch.arange(len(real))[:, None]
    found = {
        "masked_lm_logits": output.prediction_logits[rows, given["masked_lm_positions"]],
        "next_sentence_logits": output.seq_relationship_logits,
        "embedding_output": output.hidden_states[0],
        "encoder_layer_0": output.hidden_states[1],
        "encoder_layer_1": output.hidden_states[2],
        "pooled_output": model.bert(given["input_ids"], **tokens).pooler_output,
    }
    for name, tensor in found.items():
        wanted = case.tensors[f"output_erf/{name}"]
        difference = tensor.reshape(wanted.shape) - wanted
        kept = difference[real] if difference.shape[:2] == real.shape else difference
        assert kept.abs().max() < 1e-5, name
