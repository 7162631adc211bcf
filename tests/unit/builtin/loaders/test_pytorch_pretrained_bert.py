"""pytorch-pretrained-BERT's layout: what is recognised, described, read, refused."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from bertmod import CheckpointError, EmptyConfig
from bertmod.builtin.encoders.config import BertConfig
from bertmod.builtin.encoders.modules import BertEncoder
from bertmod.builtin.encoders.names import names
from bertmod.builtin.loaders.plugin import bertmod_loaders
from bertmod.model.loading import Component, load_tensors

LOADERS = {spec.name: spec for spec in bertmod_loaders()}
LOADER = LOADERS["pytorch_pretrained_bert"]
PARTS = ("bert_config.json", "pytorch_model.bin", "vocab.txt")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/bertmod/archives"


def old_spelling(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


@pytest.fixture
def write(tmp_path: Path, values, state):
    """Writes a checkpoint as the first port had it; ``rename`` spells its names."""

    def write_folder(*, rename=lambda name: f"bert.{old_spelling(name)}", config=None, **tensors):
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        (folder / "bert_config.json").write_text(json.dumps(values | (config or {})))
        (folder / "vocab.txt").write_text("".join(f"w{n}\n" for n in range(11)))
        extra = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
        kept = {rename(name): tensor for name, tensor in state.items()} | extra
        torch.save(kept, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
        return folder

    return write_folder


def pack(folder: Path, name: str, parts=PARTS) -> Path:
    """An archive of a folder's files, made as people make them."""
    path = folder.with_name(name)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for part in parts:
                made.write(folder / part, part)
        return path
    with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as made:
        for part in parts:
            made.add(folder / part, f"./{part}")
    return path


def claims(path: Path) -> dict[str, str]:
    found = {name: spec.can_load(str(path)) for name, spec in LOADERS.items()}
    return {name: reason for name, reason in found.items() if reason}


def describe(path: Path, tasks=None):
    return LOADER.describe(EmptyConfig(), str(path), tasks)


def load(path: Path):
    found = describe(path, ())
    options = {key: value for key, value in found.encoder.items() if key != "name"}
    config = BertConfig(**options)
    encoder = BertEncoder(config)
    component = Component("encoder", names(config), encoder, required=True)
    return encoder, load_tensors(LOADER.tensors(str(path)), found, [component], source=str(path))


@pytest.mark.parametrize("place", ["", "pytorch_model.bin"])
def test_a_checkpoint_describes_itself(write, place) -> None:
    folder = write()
    assert claims(folder / place) == {
        "pytorch_pretrained_bert": "bert_config.json beside pytorch_model.bin"
    }
    found = describe(folder / place)
    assert found.format == "huggingface"
    assert (found.encoder["name"], found.encoder["vocab_size"]) == ("bertmod/bert", 11)
    assert found.tokenizer == {"name": "bertmod/wordpiece", "vocab": str(folder / "vocab.txt")}
    assert (found.heads, found.adapters, found.tasks) == ({}, (), ())
    assert found.files == tuple(folder / part for part in PARTS)


@pytest.mark.parametrize("name", ["bert.tar.gz", "bert.tgz", "bert.tar", "bert.zip"])
def test_an_archive_is_read_from_the_cache(write, cache: Path, name) -> None:
    folder = write()
    path = pack(folder, name)
    assert claims(path) == {
        "pytorch_pretrained_bert": "bert_config.json and pytorch_model.bin in the archive"
    }
    assert not cache.exists()
    found = describe(path)
    assert found.files == (path,)
    assert Path(found.tokenizer["vocab"]).is_relative_to(cache)
    assert found.encoder == describe(folder).encoder
    assert (load(path)[0].projection("key", 1)[0] == load(folder)[0].projection("key", 1)[0]).all()


def test_without_a_vocabulary_the_recipe_names_one(write) -> None:
    folder = write()
    path = pack(folder, "bert.tar.gz", PARTS[:2])
    (folder / "vocab.txt").unlink()
    for each in (folder, path):
        assert describe(each).tokenizer is None


def test_a_file_of_another_name_beside_its_configuration(write) -> None:
    folder = write()
    path = (folder / "pytorch_model.bin").rename(folder / "mrpc.pt")
    assert claims(folder) == {}
    assert claims(path) == {"pytorch_pretrained_bert": "bert_config.json beside mrpc.pt"}
    assert load(path)[1].used["bert.pooler.dense.bias"] == "encoder.pooler.dense.bias"


SPELLINGS = {
    "old": old_spelling,
    "old, prefixed": lambda name: f"bert.{old_spelling(name)}",
    "new": str,
    "new, prefixed": lambda name: f"bert.{name}",
    "DataParallel": lambda name: f"module.bert.{old_spelling(name)}",
    "mixed": lambda name: old_spelling(name) if "layer.1" in name else f"bert.{name}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_names(write, state, spelling) -> None:
    encoder, report = load(write(rename=SPELLINGS[spelling]))
    first = SPELLINGS[spelling]("embeddings.LayerNorm.weight")
    assert report.used[first] == "encoder.embeddings.norm.weight"
    assert (report.skipped, report.initialised, report.missing) == ({}, (), ())
    assert torch.equal(encoder.embeddings.norm.bias, state["embeddings.LayerNorm.bias"])
    key = state["encoder.layer.1.attention.self.key.weight"]
    assert torch.equal(encoder.projection("key", 1)[0], key)


def test_two_spellings_of_one_tensor(write) -> None:
    folder = write(embeddings__LayerNorm__beta=torch.zeros(12))
    with pytest.raises(
        CheckpointError, match=r"are two spellings of one tensor, \"embeddings\.Lay"
    ):
        load(folder)


MASKED = {"cls__predictions__bias": torch.zeros(11)}
FOLLOWS = {"cls__seq_relationship__weight": torch.zeros(2, 12)}
ANSWER = {"qa_outputs__weight": torch.zeros(2, 12), "qa_outputs__bias": torch.zeros(2)}
CLASSES = {"classifier__weight": torch.zeros(3, 12), "classifier__bias": torch.zeros(3)}


@pytest.mark.parametrize(
    ("tensors", "heads"),
    [
        (MASKED, [{"name": "bertmod/masked_lm", "hidden_act": "gelu_tanh"}]),
        (FOLLOWS, [{"name": "bertmod/next_sentence"}]),
        (
            {**FOLLOWS, **MASKED},
            [
                {"name": "bertmod/masked_lm", "hidden_act": "gelu_tanh"},
                {"name": "bertmod/next_sentence"},
            ],
        ),
        (ANSWER, [{"name": "bertmod/span"}]),
        (CLASSES, []),
    ],
)
def test_heads_that_their_names_tell(write, tensors, heads) -> None:
    folder = write(config={"hidden_act": "gelu_tanh"}, **tensors)
    assert describe(folder).heads == {str(index): slot for index, slot in enumerate(heads)}
    ids = tuple(f"task{index}" for index in range(len(heads)))
    assert describe(folder, ids).heads == dict(zip(ids, heads, strict=True))
    assert describe(folder, ()).heads == {}


def test_tasks_that_no_head_belongs_to(write) -> None:
    folder = write(**CLASSES)
    with pytest.raises(CheckpointError) as caught:
        describe(folder, ("mrpc",))
    assert str(caught.value) == (
        f"{folder}: 1 tasks are stated, but 0 heads can be told from the tensors' names\n"
        "  told: none\n"
        '  a "classifier" belongs to no stated task: name its task in "use" instead'
    )


def test_heads_that_nobody_asked_for_are_skipped(write) -> None:
    _, report = load(write(**MASKED, **ANSWER, **CLASSES))
    assert report.skipped == {
        "cls.predictions.bias": "pre-training head that nobody asked for",
        "qa_outputs.weight": "task head that nobody asked for",
        "qa_outputs.bias": "task head that nobody asked for",
        "classifier.weight": "task head that nobody asked for",
        "classifier.bias": "task head that nobody asked for",
    }


def test_a_name_that_nothing_knows_is_an_error(write) -> None:
    with pytest.raises(CheckpointError, match=r"1 tensor in the file, but known to no part"):
        load(write(ranking__weight=torch.zeros(1)))


def test_folders_of_others(write) -> None:
    folder = write()
    (folder / "config.json").write_text((folder / "bert_config.json").read_text())
    assert list(claims(folder)) == ["huggingface"]
    assert claims(folder / "pytorch_model.bin") == {}
    (folder / "config.json").unlink()
    (folder / "pals.json").write_text('{"mult": true}')
    assert list(claims(folder)) == ["bert_n_pals"]
    assert list(claims(folder / "pytorch_model.bin")) == ["bert_n_pals"]


@pytest.mark.parametrize("name", PARTS[:2])
def test_a_file_is_missing(write, name) -> None:
    folder = write()
    path = pack(folder, "bert.tar.gz", [part for part in PARTS if part != name])
    (folder / name).unlink()
    assert (claims(folder), claims(path)) == ({}, {})
    for each in (folder, path):
        with pytest.raises(CheckpointError, match=rf"{name}( in it|: not there)$"):
            describe(each)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^there is no .*bert\.tar\.gz$"):
        describe(tmp_path / "bert.tar.gz")


def test_an_archive_cut_off_after_its_files_began(write) -> None:
    path = pack(write(), "bert.tar.gz")
    path.write_bytes(path.read_bytes()[:-2000])
    assert list(claims(path)) == ["pytorch_pretrained_bert"]
    with pytest.raises(CheckpointError, match=r"bert\.tar\.gz: damaged or cut off: "):
        describe(path)


def test_an_archive_with_a_path_outside(write) -> None:
    path = pack(write(), "bert.tar")
    with tarfile.open(path, "a") as made:
        made.addfile(tarfile.TarInfo("../evil"))
    assert list(claims(path)) == ["pytorch_pretrained_bert"]
    with pytest.raises(CheckpointError, match=r'refused: "\.\./evil" would be written outside'):
        describe(path)


def test_a_training_checkpoint_instead_of_a_state_dict(write, state) -> None:
    folder = write()
    torch.save({"model": state, "epoch": 3}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r'"model" is not a tensor; save the model\'s state'):
        describe(folder)


def test_parameters_and_views_of_one_storage(write, state) -> None:
    folder = write()
    whole = torch.randn(24, 12)
    kept = {**state, "pooler.dense.weight": whole[12:].t()}
    kept["encoder.layer.0.attention.output.dense.weight"] = nn.Parameter(whole[:12])
    torch.save(kept, folder / "pytorch_model.bin")
    encoder, _ = load(folder)
    assert torch.equal(encoder.pooler.dense.weight, whole[12:].t())
    assert torch.equal(encoder.projection("attention_dense", 0)[0], whole[:12])
