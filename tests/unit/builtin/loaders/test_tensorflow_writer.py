"""Checkpoints for Google's programs: what is written, read back to the bit, refused."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bertmod import CheckpointContent, CheckpointError, EmptyConfig, TaskInfo
from bertmod.builtin.encoders.config import BertConfig, complete
from bertmod.builtin.encoders.names import names
from bertmod.builtin.heads.plugin import bertmod_heads
from bertmod.builtin.loaders.plugin import bertmod_loaders
from bertmod.library import build_encoder
from bertmod.model.loading import Component, load_tensors

GOOGLE = {spec.name: spec for spec in bertmod_loaders()}["tensorflow"]
HEADS = {spec.name: spec for spec in bertmod_heads()}
PREFIX = "bert_model.ckpt"
FILES = [
    "bert_config.json",
    f"{PREFIX}.data-00000-of-00001",
    f"{PREFIX}.index",
    "vocab.txt",
]
VOCAB = "".join(f"w{n}\n" for n in range(11)).encode()
LABELS = ("no", "yes", "so")


def stored(rows, number: int) -> dict[str, torch.Tensor]:
    """Random tensors as a writer gets them: by the format's names, transposed as it is."""
    draw = torch.Generator().manual_seed(number)
    return {
        row.stored["tensorflow"]: torch.randn(
            [length or len(LABELS) for length in sides(row)], generator=draw
        )
        for row in rows
        if row.tied is None
    }


def sides(row) -> tuple[int | None, ...]:
    return row.shape[::-1] if "tensorflow" in row.transposed else row.shape


@pytest.fixture
def content(values) -> CheckpointContent:
    """An encoder whose gelu Google's file has no name for, without heads."""
    config = complete(BertConfig(**values | {"hidden_act": "gelu_tanh"}))
    return CheckpointContent(
        encoder={"name": "bertmod/bert", **config.model_dump()},
        tokenizer={
            "name": "bertmod/wordpiece",
            "vocab": "words.txt",
            "lower_case": False,
            "split_cjk": True,
            "drop_unassigned": False,
            "max_word_length": 200,
        },
        files={"words.txt": VOCAB},
        tensors={"encoder": stored(names(config), 0)},
    )


@pytest.fixture
def with_heads(content, values):
    """The same content with heads; task to the head's name."""
    shape = build_encoder(**values).shape

    def add(**heads: str) -> CheckpointContent:
        tensors = {
            f"heads.{task}": stored(HEADS[name].names(HEADS[name].config(), shape), number)
            for number, (task, name) in enumerate(heads.items(), 1)
        }
        return replace(
            content,
            heads={
                task: {"name": f"bertmod/{name}", "dropout": 0.2} for task, name in heads.items()
            },
            infos={task: TaskInfo(LABELS, calibration={"null": 0.1 + 0.2}) for task in heads},
            tensors={**content.tensors, **tensors},
        )

    return add


def write(content: CheckpointContent, folder: Path) -> Path:
    folder.mkdir()
    GOOGLE.writer.write(content, folder)
    return folder


def refused(content: CheckpointContent, folder: Path) -> str:
    folder.mkdir()
    with pytest.raises(CheckpointError) as caught:
        GOOGLE.writer.write(content, folder)
    assert list(folder.iterdir()) == []
    return str(caught.value)


def test_what_is_written_is_what_googles_programs_read(content, google, tmp_path: Path) -> None:
    import tensorflow

    folder = write(content, tmp_path / "written")
    assert GOOGLE.writer.format == "tensorflow"
    assert sorted(file.name for file in folder.iterdir()) == FILES
    assert (folder / "vocab.txt").read_bytes() == VOCAB
    reader = tensorflow.train.load_checkpoint(str(folder / PREFIX))
    expected = {name: list(value.shape) for name, value in google.variables().items()}
    assert reader.get_variable_to_shape_map() == expected
    assert set(reader.get_variable_to_dtype_map().values()) == {tensorflow.float32}
    for name, value in content.tensors["encoder"].items():
        assert np.array_equal(reader.get_tensor(f"bert/{name}"), value.numpy())


def test_a_head_of_both_losses_is_known_again(with_heads, tmp_path: Path) -> None:
    """Its names are those of the two heads that Google's programs pre-train."""
    content = with_heads(text="pretraining")
    content = replace(content, heads={"text": {"name": "bertmod/pretraining"}}, infos={})
    folder = write(content, tmp_path / "written")
    found = GOOGLE.describe(EmptyConfig(), str(folder), None)
    assert found.heads == {"text": {"name": "bertmod/pretraining"}}
    names = set(GOOGLE.tensors(str(folder)))
    assert {"cls/predictions/output_bias", "cls/seq_relationship/output_weights"} <= names


def test_it_says_which_options_googles_programs_take(content, tmp_path: Path) -> None:
    use = GOOGLE.writer.write(content, tmp_path)
    assert f"--init_checkpoint={{folder}}/{PREFIX}\n" in use
    assert "--do_lower_case=false\n" in use


def test_a_saver_restores_it_in_a_graph(content, google, tmp_path: Path) -> None:
    import tensorflow

    folder, v1 = write(content, tmp_path / "written"), tensorflow.compat.v1
    with tensorflow.Graph().as_default(), v1.Session() as session:
        made = {
            name: v1.get_variable(name, each.shape) for name, each in google.variables().items()
        }
        v1.train.Saver().restore(session, str(folder / PREFIX))
        for name, value in content.tensors["encoder"].items():
            assert np.array_equal(session.run(made[f"bert/{name}"]), value.numpy())


def test_the_configuration_has_googles_keys_and_one_more(
    with_heads, values, tmp_path: Path
) -> None:
    folder = write(with_heads(topic="classification"), tmp_path / "written")
    found = json.loads((folder / "bert_config.json").read_text())
    own = found.pop("bertmod")
    assert found == values | {"hidden_act": "gelu"}
    assert own == {
        "hidden_act": "gelu_tanh",
        "tokenizer": {
            "lower_case": False,
            "split_cjk": True,
            "drop_unassigned": False,
            "max_word_length": 200,
        },
        "heads": {
            "topic": {
                "slot": {"name": "bertmod/classification", "dropout": 0.2},
                "labels": ["no", "yes", "so"],
                "value_range": None,
                "calibration": {"null": 0.1 + 0.2},
            }
        },
    }


def test_there_and_back_is_equal_to_the_bit(with_heads, tmp_path: Path) -> None:
    content = with_heads(topic="classification", answers="span")
    folder = write(content, tmp_path / "written")
    found = GOOGLE.describe(EmptyConfig(), str(folder), None)
    assert found.heads == content.heads
    assert found.infos == content.infos
    assert found.tasks == ("topic", "answers")
    ours = {key: value for key, value in content.encoder.items() if value is not None}
    ours.pop("layer_norm_eps")
    assert found.encoder == ours
    assert found.tokenizer == {**content.tokenizer, "vocab": str(folder / "vocab.txt")}
    tensors = GOOGLE.tensors(str(folder))
    for component, each in content.tensors.items():
        scope = "bert/" if component == "encoder" else ""
        for name, value in each.items():
            assert tensors[f"{scope}{name}"].name == name
            assert torch.equal(tensors[f"{scope}{name}"].load(), value)
    assert len(tensors) == sum(len(each) for each in content.tensors.values())


def test_an_encoder_is_the_same_module_again(content, values, tmp_path: Path) -> None:
    folder = write(content, tmp_path / "written")
    found = GOOGLE.describe(EmptyConfig(), str(folder), None)
    into: dict[str, torch.Tensor] = {}
    component = Component("encoder", names(BertConfig(**values)), into=into, required=True)
    load_tensors(GOOGLE.tensors(str(folder)), found, [component])
    for row in names(BertConfig(**values)):
        value = content.tensors["encoder"][row.stored["tensorflow"]]
        assert torch.equal(into[row.canonical], value.t() if row.transposed else value)


def test_adapters_are_refused(with_heads, tmp_path: Path) -> None:
    content = replace(
        with_heads(topic="classification"), adapters={"topic": ({"name": "bertmod/pals"},)}
    )
    assert refused(content, tmp_path / "written") == (
        'the tensorflow format cannot hold adapters, but "topic" has bertmod/pals\n'
        "  take them into the encoder's weights, where that can be done: --merge"
    )


def test_two_heads_of_one_name_are_refused(with_heads, tmp_path: Path) -> None:
    content = with_heads(topic="classification", grade="regression")
    assert refused(content, tmp_path / "written") == (
        'the tensorflow format holds one "output_weights", but "topic" and "grade" both have one\n'
        "  choose one with --task"
    )


def test_a_head_without_a_name_is_refused(with_heads, tmp_path: Path) -> None:
    content = with_heads(topic="classification")
    content = replace(content, tensors={"encoder": content.tensors["encoder"]})
    assert refused(content, tmp_path / "written") == (
        'the tensorflow format has no names for the bertmod/classification of "topic"\n'
        "  choose other tasks with --task, or leave heads out with --encoder-only"
    )


def test_other_arithmetic_than_googles_is_refused(content, tmp_path: Path) -> None:
    content = replace(content, encoder={**content.encoder, "layer_norm_eps": 1e-6})
    assert refused(content, tmp_path / "written") == (
        "the tensorflow format cannot hold layer_norm_eps 1e-06: Google's code always adds 1e-12\n"
        "  write another format"
    )


def test_a_head_of_another_activation_is_refused(with_heads, tmp_path: Path) -> None:
    content = with_heads(words="masked_lm")
    heads = {"words": {"name": "bertmod/masked_lm", "hidden_act": "relu"}}
    assert refused(replace(content, heads=heads), tmp_path / "written") == (
        'the head of "words" has relu, the encoder gelu_tanh: the tensorflow format has one '
        "activation for both"
    )


def test_an_encoder_without_pooler_serves_heads_that_read_tokens(
    content, with_heads, tmp_path: Path
) -> None:
    def without(whole: CheckpointContent) -> CheckpointContent:
        encoder = whole.tensors["encoder"]
        kept = {name: encoder[name] for name in encoder if not name.startswith("pooler/")}
        return replace(whole, tensors={**whole.tensors, "encoder": kept})

    for number, whole in enumerate((content, with_heads(topic="classification"))):
        assert refused(without(whole), tmp_path / str(number)) == (
            "the encoder has no pooler, and Google's programs would put random values in its place"
        )
    folder = write(without(with_heads(answers="span")), tmp_path / "written")
    assert not [name for name in GOOGLE.tensors(str(folder)) if "pooler" in name]


@pytest.mark.parametrize(("kind", "known"), [("encoder", "bert"), ("tokenizer", "wordpiece")])
def test_another_encoder_or_tokenizer_is_refused(content, tmp_path: Path, kind, known) -> None:
    slot = {**getattr(content, kind), "name": "acme/other"}
    assert refused(replace(content, **{kind: slot}), tmp_path / "written") == (
        f"the tensorflow format cannot hold {kind}s but {known}, and this is acme/other"
    )


def test_without_tensorflow(content, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert refused(content, tmp_path / "written") == (
        "writing a TensorFlow checkpoint takes TensorFlow: it is not installed\n"
        '  pip install "bertmod[tensorflow]"'
    )


def test_a_folder_that_cannot_be_written(content, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        GOOGLE.writer.write(content, tmp_path / "absent")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / f"{PREFIX}.index").mkdir()
    with pytest.raises(OSError, match=r"^Is a directory$"):
        GOOGLE.writer.write(content, tmp_path / "taken")
