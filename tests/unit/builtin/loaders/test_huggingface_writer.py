"""Folders for transformers, judged by transformers itself: tensors, logits, tokens."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from transformers import BertConfig

from bertmod import (
    Batch,
    CheckpointContent,
    CheckpointError,
    EmptyConfig,
    EncoderContext,
    HeadContext,
    TaskInfo,
)
from bertmod.builtin.loaders import huggingface, huggingface_writer
from bertmod.model.loading import Component, load_tensors
from bertmod.nn.context import RowContext
from bertmod.nn.initialisation import initialise
from bertmod.recipe.opened import OpenedCheckpoint, open_checkpoint

PIECES = (
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("a", "b", "c", "o", "s", "ς", "σ", "the", "cat", "mat", "sat", "on", "##s", "##a", "##σ"),  # noqa: RUF001
    *(".", ",", "?", "$", "[", "]", "中", "文", "é", "e", "sep", "mask", "\ue000", "##\ue000"),
    *("##b", "##c", "##o", "##ς", "i", "##i", "1"),
)
SIZES = {
    "vocab_size": len(PIECES),
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 48,
    "initializer_range": 0.1,
}
LABELS = {"id2label": {0: "low", 1: "mid", 2: "high"}, "label2id": {"low": 0, "mid": 1, "high": 2}}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "classification": ("BertForSequenceClassification", LABELS),
    "regression": ("BertForSequenceClassification", {"num_labels": 1}),
    "multi_label": (
        "BertForSequenceClassification",
        {**LABELS, "problem_type": "multi_label_classification"},
    ),
    "token_classification": ("BertForTokenClassification", {**LABELS, "classifier_dropout": 0.3}),
    "span": ("BertForQuestionAnswering", {}),
    "multiple_choice": ("BertForMultipleChoice", {}),
    "masked_lm": ("BertForMaskedLM", {"hidden_act": "gelu_new"}),
    "next_sentence": ("BertForNextSentencePrediction", {"hidden_act": "relu"}),
}
POOLED = {"classification", "regression", "multi_label", "multiple_choice", "next_sentence"}
TEXTS = ("the cats sat on a mat.", "中文 ΟΣ é", "", "a b c $1?")


class Copy(NamedTuple):
    """A model of transformers, its folder, and what the writer made of that folder."""

    model: Any
    source: Path
    target: Path
    content: CheckpointContent


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch) -> None:
    """Vocabularies out of tokenizer.json are written into a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> Iterator[None]:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.enable_progress_bar()


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Saves a fresh model with transformers, reads it, and writes it again."""
    made: dict[str, Copy] = {}

    def copy_of(architecture: str, **config: Any) -> Copy:
        key = json.dumps([architecture, config], sort_keys=True)
        if key not in made:
            folder = tmp_path_factory.mktemp(architecture)
            model = fresh(architecture, **config)
            source = save(model, folder / "source")
            content = content_of(open_checkpoint(source))
            made[key] = Copy(model, source, written(content, folder / "target"), content)
        return made[key]

    return copy_of


def fresh(architecture: str, **config: Any) -> Any:
    torch.manual_seed(0)
    model = getattr(transformers, architecture)(BertConfig(**{**SIZES, **config})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter) / 20
    return model


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in PIECES), encoding="utf-8")
    options = {"do_lower_case": True, "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
    return folder


def written(content: CheckpointContent, folder: Path) -> Path:
    folder.mkdir()
    huggingface_writer.write(content, folder)
    return folder


def content_of(opened: OpenedCheckpoint, *, heads: bool = True) -> CheckpointContent:
    """A folder's whole content in memory."""
    described = opened.description
    names = {"encoder": opened.encoder.spec.names(opened.encoder.config)}
    for task, slot in described.heads.items() if heads else ():
        spec, config = head_of(opened, slot)
        names[f"heads.{task}"] = spec.names(config, opened.shape)
    taken: dict[str, dict[str, torch.Tensor]] = {prefix: {} for prefix in names}
    parts = [
        Component(prefix, rows, into=taken[prefix], want=frozenset({"hidden"}))
        for prefix, rows in names.items()
    ]
    load_tensors(opened.tensors(), described, parts)
    tokenizer = opened.tokenizer
    return CheckpointContent(
        encoder=opened.encoder.to_json(),
        tokenizer={**tokenizer.to_json(), "vocab": "vocab.txt"},
        files={"vocab.txt": Path(tokenizer.config.vocab).read_bytes()},
        tensors={
            prefix: {
                row.stored["huggingface"]: taken[prefix][row.canonical]
                for row in rows
                if row.canonical in taken[prefix]
            }
            for prefix, rows in names.items()
        },
        heads=described.heads if heads else {},
        infos=described.infos,
        pipeline=tokenizer.spec.pipeline(tokenizer.config),
    )


def head_of(opened: OpenedCheckpoint, slot) -> tuple[Any, Any]:
    spec = opened.registry.get("head", slot["name"]).spec
    return spec, spec.config(**{key: value for key, value in slot.items() if key != "name"})


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_comes_back_and_none_is_missing_or_unexpected(copy, kind) -> None:
    architecture, config = KINDS[kind]
    one = copy(architecture, **config)
    again, info = type(one.model).from_pretrained(one.target, output_loading_info=True)
    assert {key: value for key, value in info.items() if value} == {}
    assert equal(one.model.state_dict(), again.state_dict())
    assert again.config.architectures == [architecture]
    assert again.config.id2label == one.model.config.id2label
    second = content_of(open_checkpoint(one.target))
    assert (second.heads, second.infos) == (one.content.heads, one.content.infos)
    assert second.encoder == one.content.encoder
    for prefix, tensors in one.content.tensors.items():
        assert equal(tensors, second.tensors[prefix])


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_logits(copy, kind) -> None:
    architecture, config = KINDS[kind]
    opened = open_checkpoint(copy(architecture, **config).target)
    (slot,) = opened.description.heads.values()
    assert slot["name"] == f"bertmod/{kind}"
    rows = opened.tokenizer.spec.build(opened.tokenizer.config)
    pieces = rows.texts(TEXTS)
    table = rows.rows(pieces, None, max_length=24)
    ours = our_logits(opened, table)
    with torch.no_grad():
        theirs = their_logits(opened.path, TEXTS)
    for name, values in theirs.items():
        assert ours[name].shape == values.shape
        assert values.std() > 1e-3
        assert (ours[name] - values).abs().max() < 1e-6


def our_logits(opened: OpenedCheckpoint, table) -> dict[str, torch.Tensor]:
    """Logits of rows by bertmod; of all rows' real tokens, one behind another, or of rows."""
    encoder = opened.encoder.spec.build(opened.encoder.config, EncoderContext(init=initialise))
    (task, slot) = next(iter(opened.description.heads.items()))
    spec, config = head_of(opened, slot)
    info = opened.description.infos.get(task, TaskInfo(labels=spec.labels))
    head = spec.build(config, HeadContext(task, opened.shape, info, initialise))
    names = opened.encoder.spec.names(opened.encoder.config)
    parts = [
        Component("encoder", names, encoder, want=spec.want(config), required=True),
        Component(f"heads.{task}", spec.names(config, opened.shape), head, required=True),
    ]
    load_tensors(opened.tensors(), opened.description, parts)
    lengths = np.diff(table.bounds)
    choices = np.zeros(len(lengths), np.int64) if spec.name == "multiple_choice" else None
    feature = torch.from_numpy(np.arange(len(lengths)) if choices is None else choices)
    batch = Batch(
        torch.from_numpy(table.input_ids).long(),
        torch.from_numpy(table.token_type_ids).long(),
        feature,
        {},
        RowContext.of(lengths),
    )
    encoder.eval()
    head.eval()
    with torch.no_grad():
        output = encoder(batch, want=spec.want(config))
        logits = head(output, batch).logits
    return {name: value.reshape(-1, *value.shape[1:]) for name, value in logits.items()}


def their_logits(folder: str, texts) -> dict[str, torch.Tensor]:
    """Logits of the same texts by transformers, with its tokenizer, laid out in the same way."""
    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, config.architectures[0]).from_pretrained(folder)
    rows = transformers.AutoTokenizer.from_pretrained(folder)(
        list(texts), padding=True, truncation=True, max_length=24, return_tensors="pt"
    )
    name = config.architectures[0]
    if name == "BertForMultipleChoice":
        logits = model(**{key: value[None] for key, value in rows.items()}).logits
        return {"logits": logits.reshape(-1)}
    output, real = model(**rows), rows["attention_mask"].bool()
    if name == "BertForQuestionAnswering":
        return {"start": output.start_logits[real], "end": output.end_logits[real]}
    per_token = name in ("BertForTokenClassification", "BertForMaskedLM")
    return {"logits": output.logits[real] if per_token else output.logits}


def test_both_heads_of_pretraining(copy) -> None:
    one = copy("BertForPreTraining")
    assert [slot["name"] for slot in one.content.heads.values()] == [
        "bertmod/masked_lm",
        "bertmod/next_sentence",
    ]
    again, info = transformers.BertForPreTraining.from_pretrained(
        one.target, output_loading_info=True
    )
    assert not any(info.values())
    assert equal(one.model.state_dict(), again.state_dict())
    renamed = {"nsp": one.content.heads["1"], "mlm": one.content.heads["0"]}
    tensors = {
        "encoder": one.content.tensors["encoder"],
        "heads.mlm": one.content.tensors["heads.0"],
        "heads.nsp": one.content.tensors["heads.1"],
    }
    named = replace(one.content, heads=renamed, tensors=tensors)
    found = open_checkpoint(written(named, one.target.with_name("named"))).description
    assert found.tasks == ("mlm", "nsp")
    assert found.heads == {"mlm": renamed["mlm"], "nsp": renamed["nsp"]}


def test_an_encoder_alone_and_its_auto_model(copy) -> None:
    one = copy("BertModel")
    again, info = transformers.AutoModel.from_pretrained(one.target, output_loading_info=True)
    assert not any(info.values())
    assert equal(one.model.state_dict(), again.state_dict())
    files = {path.name for path in one.target.iterdir()}
    assert files == {
        *("config.json", "model.safetensors", "vocab.txt", "tokenizer.json"),
        "tokenizer_config.json",
    }
    for name in ("SequenceClassification", "QuestionAnswering", "TokenClassification"):
        automatic = getattr(transformers, f"AutoModelFor{name}")
        assert isinstance(
            automatic.from_pretrained(copy(f"BertFor{name}").target),
            getattr(transformers, f"BertFor{name}"),
        )


@pytest.mark.parametrize("kind", ["span", "masked_lm", "token_classification"])
def test_a_pooler_that_the_architecture_has_no_place_for_is_kept(copy, tmp_path, kind) -> None:
    architecture, config = KINDS[kind]
    one, whole = copy(architecture, **config), copy("BertModel", hidden_act="relu")
    encoder = {**whole.content.tensors["encoder"], **one.content.tensors["encoder"]}
    assert len(encoder) == len(one.content.tensors["encoder"]) + 2
    content = replace(one.content, tensors={**one.content.tensors, "encoder": encoder})
    target = written(content, tmp_path / "target")
    again, info = type(one.model).from_pretrained(target, output_loading_info=True)
    assert set(info["unexpected_keys"]) == {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert not info["missing_keys"]
    assert equal(one.model.state_dict(), again.state_dict())
    assert equal(content_of(open_checkpoint(target)).tensors["encoder"], encoder)


def test_what_the_configuration_has_no_key_for_is_read_back(copy, tmp_path) -> None:
    one = copy("BertForSequenceClassification", **LABELS)
    slot = {**one.content.heads["0"], "class_weights": {"low": 2.0}, "dropout": 0.25}
    info = TaskInfo(labels=("no", "maybe", "yes"), calibration={"threshold": 0.5})
    content = replace(
        one.content,
        heads={"mood": slot},
        infos={"mood": info},
        tensors={
            "encoder": one.content.tensors["encoder"],
            "heads.mood": one.content.tensors["heads.0"],
        },
    )
    target = written(content, tmp_path / "target")
    found = open_checkpoint(target).description
    assert (found.heads, found.infos, found.tasks) == ({"mood": slot}, {"mood": info}, ("mood",))
    config = BertConfig.from_pretrained(target)
    assert config.id2label == {0: "no", 1: "maybe", 2: "yes"}
    assert (config.classifier_dropout, config.problem_type) == (0.25, "single_label_classification")
    config.architectures = ["BertForTokenClassification"]
    config.save_pretrained(target)
    assert open_checkpoint(target).description.heads == {
        "0": {"name": "bertmod/token_classification", "dropout": 0.25}
    }


def test_the_range_of_a_regression_is_read_back(copy, tmp_path) -> None:
    one = copy("BertForSequenceClassification", num_labels=1)
    info = TaskInfo(value_range=(0.0, 5.0))
    target = written(replace(one.content, infos={"0": info}), tmp_path / "target")
    assert open_checkpoint(target).description.infos == {"0": info}
    assert BertConfig.from_pretrained(target).problem_type == "regression"


SPLIT = {"split_cjk": False, "drop_unassigned": True, "max_word_length": 5}


@pytest.mark.parametrize("options", [{}, SPLIT, {"lower_case": False}])
def test_the_same_tokens(copy, tmp_path, options) -> None:
    content = copy("BertModel").content
    opened = open_checkpoint(copy("BertModel").source)
    config = opened.tokenizer.config.model_copy(update=options)
    content = replace(
        content,
        tokenizer={**content.tokenizer, **options},
        pipeline=opened.tokenizer.spec.pipeline(config),
    )
    target = written(content, tmp_path / "target")
    ours = opened.tokenizer.spec.build(config)
    theirs = transformers.AutoTokenizer.from_pretrained(target)
    texts = random_texts()
    table = ours.rows(ours.texts(texts), ours.texts(texts[::-1]), max_length=40)
    found = theirs(texts, texts[::-1], truncation=True, max_length=40, verbose=False)
    for number, (start, end) in enumerate(zip(table.bounds, table.bounds[1:], strict=False)):
        if table.truncated[number] or table.token_type_ids[start:end].max() == 0:
            continue  # which text is cut, and what an empty one leaves, is not the tokenizer's
        assert table.input_ids[start:end].tolist() == found["input_ids"][number]
        assert table.token_type_ids[start:end].tolist() == found["token_type_ids"][number]
    # as read back, and after transformers saved it, which leaves no vocab.txt
    stated = {**content.tokenizer, "name": "bertmod/wordpiece", "vocab": str(target / "vocab.txt")}
    assert huggingface.describe(EmptyConfig(), str(target), ()).tokenizer == stated
    theirs.save_pretrained(target)
    (target / "vocab.txt").unlink()
    again = huggingface.describe(EmptyConfig(), str(target), ()).tokenizer
    assert again is not None
    assert {**again, "vocab": stated["vocab"]} == stated
    assert Path(again["vocab"]).read_text(encoding="utf-8").split("\n") == [*PIECES, ""]


def random_texts() -> list[str]:
    """Words of the vocabulary among control characters, accents, Greek, Chinese and private use."""
    draw = random.Random(0)
    letters = [*"abcσΣΟςοé中文 .,?$ \t\n\r[]1", "\u0301", "\u200d"]  # noqa: RUF001
    letters += ["\x07", "\ue000", "\u0378"]
    letters += ["the", "cat", "Mat", "SAT", "'", "\u2028", "\u3000", "\ufffd", "\U0001f600"]
    letters += [chr(draw.randrange(0x21, 0xD800)) for _ in range(400)]
    return ["".join(draw.choices(letters, k=draw.randrange(1, 12))) for _ in range(400)]


def test_special_tokens_in_a_text_are_special_to_transformers(copy) -> None:
    one = copy("BertModel")
    theirs = transformers.AutoTokenizer.from_pretrained(one.target)
    assert theirs.tokenize("a [SEP] b") == ["a", "[SEP]", "b"]
    assert theirs.mask_token_id == PIECES.index("[MASK]")
    assert theirs.model_max_length == 48
    opened = open_checkpoint(one.target)
    ours = opened.tokenizer.spec.build(opened.tokenizer.config)
    assert ours.pieces(ours.texts(["a [SEP] b"]).ids) == ["a", "[", "sep", "]", "b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"adapters": {"0": ({"name": "bertmod/lora", "id": "lora"},)}},
            'transformers\' BERT has no place for the adapters of "0"\n'
            "  merge them into the encoder first, where they can be",
        ),
        (
            {"heads": {"a": {"name": "bertmod/span"}, "b": {"name": "bertmod/span"}}},
            "transformers' BERT has one head, here are 2: a, b\n  choose one with --task",
        ),
        (
            {"heads": {"a": {"name": "other/odd"}}},
            "transformers' BERT has no head that is bertmod's \"other/odd\"",
        ),
        (
            {"encoder": {"name": "other/odd"}},
            'transformers has no encoder that is bertmod\'s "other/odd"',
        ),
        (
            {"pipeline": ""},
            'the tokenizer "bertmod/wordpiece" has no form that transformers reads',
        ),
    ],
)
def test_what_transformers_cannot_hold(copy, tmp_path, change, message) -> None:
    content = replace(copy("BertForSequenceClassification", **LABELS).content, **change)
    with pytest.raises(CheckpointError) as caught:
        written(content, tmp_path / "target")
    assert str(caught.value) == message
    assert list((tmp_path / "target").iterdir()) == []


def test_a_head_that_needs_a_pooler_that_is_not_there(copy, tmp_path) -> None:
    one = copy("BertForSequenceClassification", **LABELS)
    encoder = {
        name: tensor
        for name, tensor in one.content.tensors["encoder"].items()
        if not name.startswith("pooler.")
    }
    content = replace(one.content, tensors={**one.content.tensors, "encoder": encoder})
    with pytest.raises(CheckpointError, match="no pooler, which BertForSequenceClassification"):
        written(content, tmp_path / "target")


def test_a_head_with_another_activation_than_the_encoder(copy, tmp_path) -> None:
    one = copy("BertForMaskedLM", hidden_act="gelu_new")
    slot = {**one.content.heads["0"], "hidden_act": "relu"}
    content = replace(one.content, heads={"0": slot})
    with pytest.raises(CheckpointError, match="has relu, the encoder gelu_tanh: transformers'"):
        written(content, tmp_path / "target")


@pytest.mark.parametrize("size", ["10KB", "1GB"])
def test_shards_and_pickles_read_as_one_file_does(copy, tmp_path, size) -> None:
    one = copy("BertForSequenceClassification", **LABELS)
    folder = save(one.model, tmp_path / "sharded")
    (folder / "model.safetensors").unlink()
    one.model.save_pretrained(folder, max_shard_size=size)
    assert (folder / "model.safetensors.index.json").exists() == (size == "10KB")
    found = content_of(open_checkpoint(folder))
    for prefix, tensors in one.content.tensors.items():
        assert equal(tensors, found.tensors[prefix])
    torch.save(one.model.state_dict(), folder / "pytorch_model.bin")
    for file in folder.glob("model*"):
        file.unlink()
    assert equal(
        content_of(open_checkpoint(folder)).tensors["encoder"], one.content.tensors["encoder"]
    )
    shutil.rmtree(folder)
