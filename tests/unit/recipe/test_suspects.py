"""Why a path is no checkpoint, and where one may be instead."""

from __future__ import annotations

import json
import os

import pytest
import torch
from safetensors.torch import save_file

from bertmod.errors import CheckpointError
from bertmod.recipe.opened import open_checkpoint


@pytest.fixture
def told(tmp_path, registry, monkeypatch):
    """What is said of a path before the loaders that were asked."""
    monkeypatch.chdir(tmp_path)

    def told_of(path) -> list[str]:
        with pytest.raises(CheckpointError) as caught:
            open_checkpoint(path, registry=registry)
        return str(caught.value).partition("\n  looked for:\n")[0].split("\n  ")

    return told_of


@pytest.fixture
def folder(tmp_path):
    """A folder without anything that a loader knows."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "model.safetensors").write_bytes(b"x")
    return made


@pytest.fixture
def hub(tmp_path):
    """A checkpoint in the hub's layout; its weights are not looked at here."""
    made = tmp_path / "hub"
    made.mkdir()
    (made / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 4}))
    save_file({"a": torch.ones(1)}, made / "model.safetensors")
    return made


KNOWN = "config.json of a BERT model beside model.safetensors"


@pytest.mark.parametrize("kind", ["roberta", "distilbert"])
def test_another_architecture(told, folder, kind) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": kind, "hidden_size": 4}))
    assert told(folder) == [
        f"no loader knows {folder}",
        f'{folder}/config.json is of a "{kind}" model, which no loader here reads',
        "in it: config.json, model.safetensors",
    ]


def test_an_adapter_of_peft(told, folder) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    assert told(folder)[1] == (
        f"{folder}/adapter_config.json is of a PEFT adapter, which is no whole model: merge it "
        "into its model (merge_and_unload), save that, and name the folder of the result"
    )


@pytest.mark.parametrize("name", ["config.json", "pals_config.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xff", b"[" * 100_000])
def test_damaged_configurations(told, folder, name, content) -> None:
    (folder / name).write_bytes(content)
    assert told(folder)[1] == f"{folder}/{name} is damaged: it is not JSON"
    assert told(folder / "model.safetensors")[1:] == [
        "the file has 1 byte; one that is damaged or cut short is not known either",
        f"{folder}/{name} is damaged: it is not JSON",
    ]


def test_an_archive_of_something_else(told, tmp_path) -> None:
    (tmp_path / "model.zip").write_bytes(b"PK")
    assert told("model.zip")[1:] == [
        "the file has 2 bytes; one that is damaged or cut short is not known either",
        "if the archive is sound, unpack it and name the folder in it",
    ]


def test_what_is_in_a_folder(told, folder) -> None:
    for number in range(9):
        (folder / f"a{number}").touch()
    assert told(folder)[1:] == ["in it: a0, a1, a2, a3, a4, a5, a6, a7 and 2 more"]


def test_links_that_lead_nowhere(told, folder) -> None:
    (folder / "config.json").symlink_to("../../blobs/1234")
    assert told(folder)[1] == (
        f"{folder}/config.json is a link to ../../blobs/1234, which is not there"
    )


def test_a_file_in_a_folder_that_is_known(told, hub) -> None:
    assert told(hub / "config.json")[2:] == [
        f"huggingface knows {hub} ({KNOWN}); name that instead"
    ]
    assert told(hub / "bert")[1:] == [f"huggingface knows {hub} ({KNOWN}); name that instead"]


def test_a_folder_around_one_that_is_known(told, hub, tmp_path) -> None:
    assert told(tmp_path)[1:] == [
        "in it: hub",
        f"huggingface knows {hub} ({KNOWN}); name that instead",
    ]


def test_a_folder_of_two_formats(told, hub) -> None:
    (hub / "m.ckpt.data-00000-of-00001").touch()
    assert told(hub) == [
        f"more than one loader claims {hub}: bertmod/huggingface ({KNOWN}) and bertmod/tensorflow "
        "(m.ckpt.data-00000-of-00001 of a TensorFlow checkpoint)",
        'put each in a folder of its own, or write "name": "bertmod/huggingface" or "name": '
        '"bertmod/tensorflow" in the recipe\'s checkpoint slot',
    ]


def test_names_that_are_no_paths(told, tmp_path) -> None:
    (tmp_path / "bert_tiny").mkdir()
    assert told("bert_tny") == [
        f'there is no {tmp_path}/bert_tny, did you mean "bert_tiny"?',
        "if that is a model of the Hugging Face hub, write hf:bert_tny",
    ]
    assert told("google-bert/bert-base-uncased") == [
        f"there is no {tmp_path}/google-bert/bert-base-uncased",
        "if that is a model of the Hugging Face hub, write hf:google-bert/bert-base-uncased",
    ]
    assert told("https://huggingface.co/bert-base-uncased")[1] == (
        "an address is not a path: download the files and name their folder, or write "
        "hf:OWNER/MODEL for a model of the Hugging Face hub"
    )
    assert len(told("../no/such/folder")) == 1


@pytest.mark.parametrize("loader", ["auto", "bertmod"])
@pytest.mark.parametrize(
    ("name", "why"), [("a" * 300, "File name too long"), ("a\0b", "embedded null byte")]
)
def test_paths_that_nobody_may_look_at(tmp_path, registry, monkeypatch, loader, name, why) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(name, registry=registry, loader=loader)
    assert str(caught.value) == f"{tmp_path}/{name} cannot be looked at: {why}"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_entered(told, folder) -> None:
    folder.chmod(0)
    try:
        assert told(folder) == [f"{folder} cannot be looked at: Permission denied"]
    finally:
        folder.chmod(0o700)
