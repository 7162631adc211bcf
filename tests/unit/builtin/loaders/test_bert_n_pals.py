"""Bert-n-Pals' state dicts: what is recognised, described, refused."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch

from bertmod import CheckpointError, EmptyConfig
from bertmod.builtin.adapters.plugin import bertmod_adapters
from bertmod.builtin.encoders.config import BertConfig, shape
from bertmod.builtin.loaders.plugin import bertmod_loaders

ADAPTERS = {spec.name: spec for spec in bertmod_adapters()}
LOADERS = {spec.name: spec for spec in bertmod_loaders()}
LOADER = LOADERS["bert_n_pals"]
PALS = {"mult": True, "pals": True, "hidden_size_aug": 12, "num_tasks": 1}


HOULSBY = {"houlsby": True, "hidden_size_aug": 12}


def parts_of(config: dict[str, object]) -> list[tuple[str, dict[str, object]]]:
    """Adapters that a configuration of Bert-n-Pals trains, by name and options."""
    low_rank = {"bottleneck_size": config.get("extra_dim") or 12}
    both = {"sites": ("attention_output", "ffn_output"), "parallel": ("ffn_output",)}
    parts: list[tuple[str, dict[str, object]]] = []
    if config.get("houlsby") and config.get("pals"):
        parts = [
            ("bottleneck", {"sites": ("attention_output",), **low_rank}),
            ("pals", {"bottleneck_size": 12, "site": "ffn_output"}),
        ]
    elif config.get("houlsby"):
        parts = [("bottleneck", {**both, **low_rank})]
    elif config.get("mult") and config.get("pals"):
        parts = [("pals", {"bottleneck_size": 12})]
    elif config.get("mult"):
        parts = [("low_rank", low_rank)]
    if config.get("lhuc"):
        parts.append(("lhuc", {}))
    if config.get("top") and config.get("bert_lay_top"):
        parts.append(("top_layer", {}))
        parts.extend([("lhuc", {"site": "encoder_output"})] if config.get("lhuc") else [])
    elif config.get("top"):
        parts.append(("top_attention", {"bottleneck_size": 12}))
    return parts


@pytest.fixture
def write(tmp_path: Path, values, state):
    """Writes a state dict of two tasks with its configuration."""

    def write_folder(config=PALS, *, layers=(0, 1), outputs=(3, 1), trained=None) -> Path:
        kept, about = dict(state), shape(BertConfig(**values))
        for task, count in enumerate(outputs):
            kept[f"classifier.{task}.weight"] = torch.zeros(count, 12)
            kept[f"classifier.{task}.bias"] = torch.zeros(count)
            for name, options in parts_of(config if trained is None else trained):
                spec = ADAPTERS[name]
                here = (0, 1) if name == "lhuc" else layers
                for row in spec.names(spec.config(**options), about, here):
                    for each in (row.stored["bert_n_pals"], *row.copies.get("bert_n_pals", ())):
                        kept[each.replace("{task}", str(task))] = torch.zeros(row.shape)
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
            "id": "pals",
            "bottleneck_size": 12,
            "num_heads": 6,
            "share_projections": True,
            "site": "layer_residual",
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


def test_layers_without_an_adapter_scale_their_output(write) -> None:
    """What the original does where its code was edited to leave layers alone."""
    found = describe(write(PALS | {"lhuc": True}, layers=(1,))).adapters
    assert [(slot["id"], slot.get("site"), slot["layers"]) for slot in found] == [
        ("pals", "layer_residual", [1]),
        ("lhuc", "layer_residual", [1]),
        ("lhuc_output", "layer_output", [0]),
    ]
    spec = ADAPTERS["lhuc"]
    stored = {
        row.stored["bert_n_pals"]
        for slot in found[1:]
        for row in spec.names(
            spec.config(site=slot["site"]), shape(BertConfig()), tuple(slot["layers"])
        )
    }
    assert stored == {f"encoder.layer.{layer}.multi_lhuc.{{task}}.lhuc" for layer in (0, 1)}


LOW_RANK = {"name": "bertmod/low_rank", "id": "low_rank", "bottleneck_size": 12}
BOTTLENECK = {
    "name": "bertmod/bottleneck",
    "id": "bottleneck",
    "bottleneck_size": 12,
    "sites": ["attention_output", "ffn_output"],
    "parallel": ["ffn_output"],
    "init_scale": None,
}
LHUC = {"name": "bertmod/lhuc", "id": "lhuc"}
TOP_LAYER = {"name": "bertmod/top_layer", "id": "top_layer"}
TOP_ATTENTION = {
    "name": "bertmod/top_attention",
    "id": "top_attention",
    "bottleneck_size": 12,
    "num_heads": 12,
}


@pytest.mark.parametrize(
    ("config", "slots"),
    [
        ({"mult": True}, [LOW_RANK | {"site": "layer_residual"}]),
        (
            {"mult": True, "extra_dim": 5, "lhuc": True},
            [
                LOW_RANK | {"bottleneck_size": 5, "site": "layer_residual"},
                LHUC | {"site": "layer_residual"},
            ],
        ),
        ({"lhuc": True}, [LHUC | {"site": "layer_output"}]),
        (HOULSBY, [BOTTLENECK]),
        (HOULSBY | {"mult": True}, [BOTTLENECK]),
        (HOULSBY | {"top": True}, [BOTTLENECK, TOP_ATTENTION]),
        (
            HOULSBY | {"pals": True, "extra_dim": 5},
            [
                BOTTLENECK | {"bottleneck_size": 5, "sites": ["attention_output"], "parallel": []},
                {
                    "name": "bertmod/pals",
                    "id": "pals",
                    "bottleneck_size": 12,
                    "num_heads": 6,
                    "share_projections": True,
                    "site": "ffn_output",
                },
            ],
        ),
        ({"top": True, "hidden_size_aug": 12}, [TOP_ATTENTION]),
        ({"top": True, "bert_lay_top": True}, [TOP_LAYER]),
        (
            {"top": True, "bert_lay_top": True, "lhuc": True},
            [
                LHUC | {"site": "layer_output"},
                TOP_LAYER,
                LHUC | {"id": "lhuc_top", "site": "encoder_output"},
            ],
        ),
    ],
)
def test_every_combination_of_switches_that_works(write, config, slots) -> None:
    found = describe(write(config)).adapters
    where = {"layers": "all", "tasks": ["nli", "sts"]}
    assert found == tuple(slot | where for slot in slots)
    for slot in found:  # as a recipe would take them
        spec = ADAPTERS[slot["name"].removeprefix("bertmod/")]
        keys = ("name", *spec.slot_keys)
        options = {key: value for key, value in slot.items() if key not in keys}
        spec.config.model_validate_json(json.dumps(options))


def test_widths_are_those_of_the_tensors(write) -> None:
    """The original's command line may replace the configuration's."""
    config = {"mult": True, "hidden_size_aug": 204}
    assert describe(write(config, trained={"mult": True})).adapters[0]["bottleneck_size"] == 12


def test_a_layer_on_top_holds_vectors_that_it_never_uses(write) -> None:
    config = {"top": True, "bert_lay_top": True, "lhuc": True}
    (reason,) = {
        reason
        for pattern, reason in describe(write(config)).skipped.items()
        if fnmatchcase("encoder.multi_layers.0.multi_lhuc.1.lhuc", pattern)
    }
    assert reason == "never used: the layer on top scales by its first vector"


@pytest.mark.parametrize("config", [PALS, HOULSBY, {"top": True}, {"lhuc": True, "mult": True}])
def test_the_encoder_alone_has_no_adapters(write, config) -> None:
    assert describe(write(config, trained={})).adapters == ()


@pytest.mark.parametrize(
    "config",
    [
        PALS | {"lhuc": True, "top": True, "bert_lay_top": True},
        HOULSBY | {"pals": True, "top": True},
    ],
)
def test_every_tensor_of_an_adapter_may_be_left(write, state, config) -> None:
    folder = write(config)
    skipped = describe(folder).skipped
    for stored in LOADER.tensors(str(folder)).values():
        known = any(fnmatchcase(stored.name, pattern) for pattern in skipped)
        assert known == (stored.name not in state), stored.name


def test_a_vocabulary_beside_the_file(write) -> None:
    folder = write()
    (folder / "vocab.txt").write_text("a\n" * 10 + "b")
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
    ("config", "reason"),
    [
        (
            PALS | {"houlsby": True},
            "mult, pals and houlsby together: Bert-n-Pals cannot build that model",
        ),
        (
            HOULSBY | {"pals": True, "lhuc": True},
            "pals, houlsby and lhuc together: Bert-n-Pals cannot run that model",
        ),
        (
            HOULSBY | {"lhuc": True},
            "houlsby and lhuc together: beside the feed-forward layers, Bert-n-Pals then uses the "
            "first task's adapters for every task, which bertmod does not imitate",
        ),
    ],
)
def test_switches_that_the_original_cannot_use_together(write, config, reason) -> None:
    folder = write(config)
    with pytest.raises(CheckpointError) as caught:
        describe(folder)
    assert str(caught.value) == (
        f"{folder / 'pals_config.json'}: {reason}\n  accepted: other combinations of the switches"
    )


def test_one_task_of_its_own_may_have_both(write) -> None:
    found = describe(write(HOULSBY | {"lhuc": True}, outputs=(3,)), ("nli",))
    assert [slot["id"] for slot in found.adapters] == ["bottleneck", "lhuc"]


@pytest.mark.parametrize(
    ("config", "name", "shape_of", "what"),
    [
        (
            PALS,
            "encoder.layer.0.multi_layers.0.aug_dense.weight",
            (14, 12),
            "projected attention layers have 6 heads",
        ),
        (
            {"top": True, "hidden_size_aug": 18},
            "encoder.mult_dense.0.weight",
            (18, 12),
            "the attention blocks on top have 12 heads",
        ),
    ],
)
def test_heads_that_do_not_divide_the_width(write, config, name, shape_of, what) -> None:
    folder = write(config)
    kept = torch.load(folder / "best_model.pth")
    torch.save(kept | {name: torch.zeros(shape_of)}, folder / "best_model.pth")
    with pytest.raises(CheckpointError) as caught:
        describe(folder)
    assert str(caught.value) == (
        f"{folder / 'pals_config.json'}: {what}, which do not divide the width {shape_of[0]}: "
        "Bert-n-Pals cannot run this model either"
    )


def test_a_configuration_of_another_model(write) -> None:
    folder = write({"mult": True, "top": True}, trained=PALS)
    with pytest.raises(CheckpointError) as caught:
        describe(folder)
    assert str(caught.value) == (
        f"{folder / 'pals_config.json'}: the configuration switches on mult, top, the state dict "
        "was trained with mult, pals\n"
        "  use the configuration that the model was trained with"
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
