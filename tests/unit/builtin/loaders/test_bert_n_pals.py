"""Bert-n-Pals' state dicts: what is recognised, described, refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bertmod import CheckpointError, EmptyConfig
from bertmod.builtin.adapters.pals_config import PalsConfig, names
from bertmod.builtin.encoders.config import BertConfig, shape
from bertmod.builtin.loaders.plugin import bertmod_loaders

LOADERS = {spec.name: spec for spec in bertmod_loaders()}
LOADER = LOADERS["bert_n_pals"]
PALS = {"mult": True, "pals": True, "hidden_size_aug": 12, "num_tasks": 1}


@pytest.fixture
def write(tmp_path: Path, values, state):
    """Writes a state dict of two tasks with its configuration."""

    def write_folder(config=PALS, *, layers=(0, 1), outputs=(3, 1)) -> Path:
        kept = dict(state)
        rows = names(PalsConfig(bottleneck_size=12), shape(BertConfig(**values)), layers)
        for task, count in enumerate(outputs):
            kept[f"classifier.{task}.weight"] = torch.zeros(count, 12)
            kept[f"classifier.{task}.bias"] = torch.zeros(count)
            for row in rows if config.get("mult") else ():
                for name in (row.stored["bert_n_pals"], *row.copies.get("bert_n_pals", ())):
                    kept[name.replace("{task}", str(task))] = torch.zeros(row.shape)
        torch.save(kept, tmp_path / "best_model.pth")
        (tmp_path / "pals_config.json").write_text(json.dumps(values | config))
        return tmp_path

    return write_folder


def describe(path: Path, tasks=("nli", "sts")):
    return LOADER.describe(EmptyConfig(), str(path), tasks)


@pytest.mark.parametrize("path", [".", "best_model.pth"])
def test_a_checkpoint_describes_itself(write, path) -> None:
    folder = write()
    place = folder / path
    assert LOADER.can_load(str(place)) == (
        "pals_config.json has hidden_size_aug, mult, pals, keys of Bert-n-Pals"
    )
    assert LOADERS["huggingface"].can_load(str(place)) is None
    assert LOADERS["bertmod"].can_load(str(place)) is None
    found = describe(place)
    assert found.encoder["name"] == "bertmod/bert"
    assert found.encoder["vocab_size"] == 11
    assert found.tokenizer is None
    assert found.adapters == (
        {
            "name": "bertmod/pals",
            "bottleneck_size": 12,
            "num_heads": 6,
            "share_projections": True,
            "layers": "all",
            "tasks": ["nli", "sts"],
        },
    )
    assert found.heads == {
        "nli": {"name": "bertmod/classification"},
        "sts": {"name": "bertmod/regression"},
    }
    assert found.tasks == ("nli", "sts")


def test_without_task_ids_heads_are_numbered(write) -> None:
    found = describe(write(), None)
    assert list(found.heads) == ["0", "1"]
    assert (found.tasks, found.adapters[0]["tasks"]) == ((), "all")


def test_layers_edited_in_the_code_show_in_the_file(write) -> None:
    assert describe(write(layers=(1,))).adapters[0]["layers"] == [1]


def test_a_vocabulary_beside_the_file(write) -> None:
    folder = write()
    (folder / "vocab.txt").write_text("a\nb")
    assert describe(folder).tokenizer == {
        "name": "bertmod/wordpiece",
        "vocab": str(folder / "vocab.txt"),
    }
    (folder / "vocab.txt").write_text("a\n" * 12)
    with pytest.raises(CheckpointError, match="has 12 entries, but the word embeddings have only"):
        describe(folder)


@pytest.mark.parametrize("switches", [{"mult": False}, {"pals": True}, {"bert_lay_top": True}])
def test_the_shared_baseline_has_no_adapters(write, switches) -> None:
    assert describe(write({"mult": False} | switches)).adapters == ()


@pytest.mark.parametrize(
    ("switches", "named"),
    [
        ({"mult": True}, "mult"),
        ({"houlsby": True, "pals": True}, "pals, houlsby"),
        ({"mult": True, "pals": True, "lhuc": True}, "mult, pals, lhuc"),
        ({"top": True, "bert_lay_top": True}, "top, bert_lay_top"),
    ],
)
def test_other_adapters_are_refused_by_name(write, switches, named) -> None:
    folder = write(switches)
    with pytest.raises(CheckpointError) as caught:
        describe(folder)
    assert str(caught.value) == (
        f"{folder / 'pals_config.json'}: trained with {named}: bertmod has no adapter for that\n"
        "  accepted: mult and pals together, or none of mult, pals, houlsby, lhuc, top, "
        "bert_lay_top"
    )


def test_as_many_tasks_as_heads(write) -> None:
    folder = write()
    with pytest.raises(CheckpointError) as caught:
        describe(folder, ("nli",))
    assert str(caught.value) == (
        f"{folder / 'best_model.pth'}: 2 tasks in the file, but 1 stated\n"
        "  state every task of the training, in its order"
    )


def test_two_files_are_ambiguous(write) -> None:
    folder = write()
    (folder / "other.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"more than one state dict .*best_model\.pth, other"):
        describe(folder)
    assert describe(folder / "best_model.pth").heads
    (folder / "pals_config.json").unlink()
    with pytest.raises(CheckpointError, match="no configuration of Bert-n-Pals there"):
        describe(folder)
