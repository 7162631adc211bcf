"""The hub's layout: what is recognised, described, refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from bertmod import CheckpointError, EmptyConfig
from bertmod.builtin.encoders.config import BertConfig
from bertmod.builtin.encoders.modules import BertEncoder
from bertmod.builtin.encoders.names import names
from bertmod.builtin.loaders.container import stored_tensors
from bertmod.builtin.loaders.plugin import bertmod_loaders
from bertmod.model.loading import Component, load_tensors

LOADERS = {spec.name: spec for spec in bertmod_loaders()}
HUB = LOADERS["huggingface"]


@pytest.fixture
def write(tmp_path: Path, values, state):
    """Writes a checkpoint folder; ``config``, ``tensors`` and ``old`` change it."""

    def write_folder(*, config=None, tensors=None, file="model.safetensors", old=False, vocab=11):
        (tmp_path / "config.json").write_text(json.dumps(values | (config or {})))
        (tmp_path / "vocab.txt").write_text("".join(f"w{n}\n" for n in range(vocab)))
        kept = state | (tensors or {})
        if file.endswith(".safetensors"):
            save_file(kept, tmp_path / file)
        else:
            torch.save(kept, tmp_path / file, _use_new_zipfile_serialization=not old)
        return tmp_path

    return write_folder


def describe(folder: Path, tasks=None):
    return HUB.describe(EmptyConfig(), str(folder), tasks)


def load(folder: Path):
    found = describe(folder)
    options = {key: value for key, value in found.encoder.items() if key != "name"}
    config = BertConfig(**options)
    encoder = BertEncoder(config)
    component = Component("encoder", names(config), encoder, required=True)
    report = load_tensors(HUB.tensors(str(folder)), found, [component], source=str(folder))
    return encoder, report


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_folder_describes_itself(write, values, file) -> None:
    folder = write(file=file, config={"model_type": "bert", "layer_norm_eps": 1e-6})
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    claims = {name: spec.can_load(str(folder)) for name, spec in LOADERS.items()}
    assert {name: why for name, why in claims.items() if why} == {
        "huggingface": f"config.json of a BERT model beside {file}"
    }
    found = describe(folder)
    assert found.format == "huggingface"
    assert found.encoder == {"name": "bertmod/bert", **values, "layer_norm_eps": 1e-6}
    assert found.tokenizer == {
        "name": "bertmod/wordpiece",
        "vocab": str(folder / "vocab.txt"),
        "lower_case": False,
    }
    assert (found.heads, found.adapters) == ({}, ())
    assert {path.name for path in found.files} == {
        "config.json",
        file,
        "vocab.txt",
        "tokenizer_config.json",
    }


def test_prefix_and_old_spelling_of_the_first_port(write, state) -> None:
    old = {
        "bert."
        + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in state.items()
    }
    state.clear()
    folder = write(tensors=old, file="pytorch_model.bin", old=True)
    encoder, report = load(folder)
    assert report.used["bert.embeddings.LayerNorm.gamma"] == "encoder.embeddings.norm.weight"
    assert torch.equal(encoder.embeddings.norm.bias, old["bert.embeddings.LayerNorm.beta"])
    key = old["bert.encoder.layer.1.attention.self.key.weight"]
    assert torch.equal(encoder.projection("key", 1)[0], key)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_what_nobody_asked_for_is_skipped(write, file) -> None:
    extra = {
        "embeddings.position_ids": torch.arange(9)[None],
        "cls.predictions.bias": torch.zeros(11),
        "classifier.weight": torch.zeros(2, 12),
        "classifier.bias": torch.zeros(2),
    }
    _, report = load(write(tensors=extra, file=file))
    assert report.skipped == {
        "embeddings.position_ids": "constant buffer",
        "cls.predictions.bias": "pre-training head that nobody asked for",
        "classifier.weight": "task head that nobody asked for",
        "classifier.bias": "task head that nobody asked for",
    }


def test_the_files_rows_count_not_the_configs(write) -> None:
    more = {"embeddings.word_embeddings.weight": torch.zeros(16, 12)}
    folder = write(tensors=more)
    assert describe(folder).encoder["vocab_size"] == 16
    assert load(folder)[0].embeddings.word_embeddings.weight.shape == (16, 12)


@pytest.mark.parametrize(
    ("entries", "rows", "number"),
    [
        (12, 11, "only 11"),
        (10, 11, "11"),
        (9, 18, "18"),
        (8, 136, "136"),
        (1001, 1000, "only 1,000"),
    ],
)
def test_a_vocabulary_of_another_model(write, entries, rows, number) -> None:
    words = {"embeddings.word_embeddings.weight": torch.zeros(rows, 12)}
    with pytest.raises(CheckpointError) as caught:
        describe(write(vocab=entries, tensors=words))
    assert str(caught.value).endswith(
        f"vocab.txt: the vocabulary has {entries:,} entries, but the word embeddings have {number} "
        "rows\n  use the vocabulary that belongs to the checkpoint"
    )


@pytest.mark.parametrize(("entries", "rows"), [(11, 11), (11, 16), (9, 136), (1001, 1024)])
def test_a_vocabulary_that_agrees_padding_understood(write, entries, rows) -> None:
    words = {"embeddings.word_embeddings.weight": torch.zeros(rows, 12)}
    assert describe(write(vocab=entries, tensors=words)).encoder["vocab_size"] == rows


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"hidden_act": "silu"}, 'hidden_act "silu" is not known\n  accepted: gelu, gelu_new'),
        ({"model_type": "roberta"}, 'a "roberta" model; this loader reads "bert" ones'),
        ({"position_embedding_type": "relative_key"}, '"relative_key" position embeddings'),
        ({"is_decoder": True}, "a decoder; bert attends in both directions"),
        ({"hidden_size": None}, "no number for hidden_size"),
    ],
)
def test_models_that_are_not_bert(write, config, message) -> None:
    with pytest.raises(CheckpointError, match=message):
        describe(write(config=config))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no model.safetensors or pytorch_model.bin"),
    ],
)
def test_a_file_is_missing(write, name, message) -> None:
    folder = write()
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=message):
        describe(folder)
    assert HUB.can_load(str(folder)) is None


def test_without_a_vocabulary_the_recipe_must_name_one(write) -> None:
    folder = write()
    (folder / "vocab.txt").unlink()
    found = describe(folder)
    assert found.tokenizer is None
    assert [file.name for file in found.files] == ["config.json", "model.safetensors"]


def test_a_configuration_that_begins_with_a_byte_order_mark(write) -> None:
    folder = write()
    config = folder / "config.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    assert describe(folder).encoder["hidden_size"] == 12


def test_tanh_forms_of_gelu(write) -> None:
    assert describe(write(config={"hidden_act": "gelu_new"})).encoder["hidden_act"] == "gelu_tanh"


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("lost", [1, 4000])
def test_a_file_cut_off_at_its_end(write, file, lost) -> None:
    folder = write(file=file)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[:-lost])
    with pytest.raises(CheckpointError, match=rf"{file}: (damaged|not a)"):
        describe(folder)


def test_a_header_that_names_no_known_dtype(write) -> None:
    folder = write()
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"dtype":"F32"', b'"dtype":"F3X"', 1))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged: .*F3X"):
        HUB.tensors(str(folder))


@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_damaged_files_are_refused_or_read(saved, data) -> None:
    """Whatever bytes change, there is a clear error or a tensor, and nothing else."""
    name = data.draw(st.sampled_from(sorted(saved)))
    content = bytearray(saved[name].read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, min(len(content), 700) - 1))] = data.draw(
            st.integers(0, 255)
        )
    damaged = saved[name].with_name(f"damaged{saved[name].suffix}")
    damaged.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(CheckpointError):
        for stored in stored_tensors(damaged, rename=str).values():
            stored.load()


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Path]:
    """The same two tensors in each container."""
    folder = tmp_path_factory.mktemp("saved")
    tensors = {"a": torch.ones(3, 2), "b": torch.zeros(4)}
    files = {name: folder / name for name in ("new.pth", "old.pth", "c.safetensors")}
    torch.save(tensors, files["new.pth"])
    torch.save(tensors, files["old.pth"], _use_new_zipfile_serialization=False)
    save_file(tensors, files["c.safetensors"])
    return files


def test_an_old_file_cut_off_at_its_end(write) -> None:
    folder = write(file="pytorch_model.bin", old=True)
    content = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: cannot be read"):
        load(folder)


class _Code:
    def __reduce__(self):
        import os

        return os.system, ("touch should_not_exist",)


@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_with_code_in_it(write, old, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write(file="pytorch_model.bin", old=old, tensors={"w": _Code()})
    for refused in (lambda: describe(folder), lambda: HUB.tensors(str(folder))):
        with pytest.raises(CheckpointError) as caught:
            refused()
        assert str(caught.value) == (
            f'{folder / "pytorch_model.bin"}: refused: it would run "posix.system" when it is '
            "opened\n  only plain state dicts of tensors are read"
        )
    assert not (tmp_path / "should_not_exist").exists()


def test_a_training_checkpoint_instead_of_a_state_dict(write) -> None:
    folder = write(file="pytorch_model.bin", tensors={"step": 3})
    with pytest.raises(CheckpointError, match='"step" is not a tensor; save the model\'s state'):
        describe(folder)
