"""Merging adapter files of one kind."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertmod import BertmodError, CheckpointError
from bertmod.inference import load_adapter, load_encoder, merge_adapters
from bertmod.inference.merge import _fresh
from bertmod.model.canonical import encoder_hash
from bertmod.model.folder import write_task
from bertmod.model.record import read_task_record


@pytest.fixture
def merge(state, tmp_path):
    """Merges tasks of the state into a new folder and gives its tensors and its record."""

    def call(*tasks, output="out", **options):
        folders = [state.folder / task for task in tasks]
        record = merge_adapters(folders, output=tmp_path / output, **options)
        return load_file(tmp_path / output / "model.safetensors"), record

    return call


@pytest.fixture
def tensors(state):
    return lambda task: load_file(state.folder / task / "model.safetensors")


@pytest.fixture
def copied(state, tmp_path):
    """Copies a part of the state, to be spoilt."""
    return lambda name: Path(shutil.copytree(state.folder / name, tmp_path / "copies" / name))


@pytest.fixture
def refused(tmp_path):
    """Asserts that merging folders is refused with a message, and nothing is written."""

    def check(message: str, *folders, output="out", **options) -> None:
        with pytest.raises(BertmodError) as caught:
            merge_adapters(folders, output=tmp_path / output, **options)
        assert str(caught.value) == message
        assert not list(tmp_path.glob(".writing-*"))
        assert not (tmp_path / "out").exists()

    return check


def test_an_average(merge, tensors) -> None:
    one, two = tensors("cola"), tensors("sst2")
    mean, record = merge("cola", "sst2")
    for name, tensor in mean.items():
        torch.testing.assert_close(tensor, (one[name] + two[name]) / 2)
    weighted, _ = merge("cola", "sst2", output="more", weights=(3, 1))
    for name, tensor in weighted.items():
        torch.testing.assert_close(tensor, 0.75 * one[name] + 0.25 * two[name])
    assert (record.id, record.score, record.step, record.recipe_hash) == ("cola", None, 0, "")
    assert [(each["id"], each["coefficient"]) for each in record.merged_from] == [
        ("cola", 0.5),
        ("sst2", 0.5),
    ]
    assert record.merged_from[0]["score"] == 0.5


def test_a_merged_file_is_an_adapter_file(state, merge, tmp_path) -> None:
    _, record = merge("cola", "sst2", head="sst2")
    loaded = load_adapter(tmp_path / "out", load_encoder(state.folder, device="cpu"))
    assert (loaded.id, loaded.record) == ("sst2", record)
    assert loaded.info.calibration == {"threshold": 0.25}


def test_a_head_that_is_named_is_taken_whole(state, merge, tensors) -> None:
    found, record = merge("cola", "mnli", head=str(state.folder / "mnli"))
    own = tensors("mnli")
    assert record.id == "mnli"
    for name, tensor in found.items():
        assert torch.equal(tensor, own[name]) is name.startswith("head.")


def test_arithmetic_counts_from_where_adapters_start(state, merge, tensors) -> None:
    found, _ = merge("rte", "qnli", method="arithmetic", weights=(1.0, -0.5))
    one, two = tensors("rte"), tensors("qnli")
    gain = state.model.encoder.norm("output_norm", 1)[0].detach()
    norms = [name for name in found if "norm" in name and name.endswith("1.weight")]
    assert norms
    for name in found:
        start = gain if name in norms else torch.zeros(())
        if "norm" in name and name not in norms:
            continue
        wanted = start + (one[name] - start) - 0.5 * (two[name] - start)
        torch.testing.assert_close(found[name], wanted)


def test_layer_norms_that_started_by_chance_are_summed(state, tmp_path) -> None:
    """Where the recipe drew them, there is no start to count from."""
    base = load_encoder(state.folder / "encoder", device="cpu")
    top = {"name": "bertmod/top_attention", "id": "top_attention", "bottleneck_size": 24}
    record = replace(
        read_task_record(state.folder / "cola"), adapters=(top,), init={"layer_norm": "normal"}
    )
    folders = [tmp_path / name for name in "ab"]
    for seed, folder in enumerate(folders):
        write_task(folder, record, _fresh(record, base, seed=seed), version="0")
    merge_adapters(folders, output=tmp_path / "out", method="arithmetic", base=state.folder)
    one, two, found = (
        load_file(folder / "model.safetensors") for folder in (*folders, tmp_path / "out")
    )
    for name, gain in found.items():
        if name.endswith("norm.weight"):
            assert gain.abs().max() < 0.5
            torch.testing.assert_close(gain, one[name] + two[name])


def test_arithmetic_that_needs_no_start_is_the_average(merge, state, tmp_path) -> None:
    found, _ = merge("rte", "qnli", method="arithmetic", weights=(0.75, 0.25))
    mean, _ = merge("rte", "qnli", output="more", weights=(3, 1))
    assert found.keys() == mean.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, mean[name])


def test_arithmetic_finds_its_encoder(state, tmp_path, refused) -> None:
    run = tmp_path / "best"
    encoder = run / "encoders" / state.hash
    shutil.copytree(state.folder / "encoder", encoder)
    folders = [
        Path(shutil.copytree(state.folder / task, run / "tasks" / task)) for task in ("rte", "qnli")
    ]
    sums = [tmp_path / name for name in ("found", "named")]
    merge_adapters(folders, output=sums[0], method="arithmetic")
    aside = encoder.rename(tmp_path / "elsewhere")
    beside = run / "tasks" / "encoder"
    shutil.copytree(state.folder / "encoder", beside)
    other = load_file(beside / "model.safetensors")
    other["encoder.pooler.dense.bias"] += 1
    save_file(other, beside / "model.safetensors")
    wrong = encoder_hash(other)
    said = json.loads((beside / "config.json").read_text())
    (beside / "config.json").write_text(json.dumps({**said, "encoder_hash": wrong}))
    refused(
        f"{beside}: not the encoder that the adapter files belong to\n"
        f"  expected: {state.hash[:12]}...\n  found: {wrong[:12]}...",
        *folders,
        method="arithmetic",
    )
    shutil.rmtree(beside)
    message = (
        "weights that do not sum to 1 move an adapter away from where it started, and that takes "
        "the encoder\n  name its run or folder with --base"
    )
    refused(message, *folders, method="arithmetic")
    merge_adapters(folders, output=sums[1], method="arithmetic", base=aside)
    one, two = (load_file(folder / "model.safetensors") for folder in sums)
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_what_does_not_belong_together(state, refused, tmp_path) -> None:
    cola, sst2, mnli, rte, qqp = (
        state.folder / task for task in ("cola", "sst2", "mnli", "rte", "qqp")
    )
    refused(
        f"{cola} and {rte} cannot be merged: their adapters are not of one kind\n"
        "  bertmod/pals and bertmod/bottleneck",
        *(cola, rte),
    )
    other = Path(shutil.copytree(sst2, tmp_path / "other"))
    record = json.loads((other / "task.json").read_text())
    record["adapters"][0]["num_heads"] = 3
    (other / "task.json").write_text(json.dumps(record))
    refused(
        f"{cola} and {other} cannot be merged: their adapters are not of one kind\n"
        "  bertmod/pals: num_heads 2 and 3",
        *(cola, other),
    )
    (other / "task.json").write_text(json.dumps({**record, "encoder_hash": "f" * 64}))
    refused(
        f"{cola} and {other} cannot be merged: they belong to different encoders\n"
        f"  {state.hash[:12]}... and ffffffffffff...",
        *(cola, other),
    )
    refused(
        f"{cola} and {mnli} cannot be merged with their heads: cola has the labels 0, 1 and mnli "
        "has the labels contradiction, entailment, neutral\n"
        "  say which head the merged adapter gets: --head cola or --head mnli",
        *(cola, mnli),
    )
    refused(
        f"{cola} and {qqp} cannot be merged: their adapters are not of one kind\n"
        "  bertmod/pals: bottleneck_size 12 and 24",
        *(cola, qqp),
    )


def test_shapes_that_differ(state, refused, tmp_path) -> None:
    other = Path(shutil.copytree(state.folder / "sst2", tmp_path / "other"))
    tensors = load_file(other / "model.safetensors")
    save_file({**tensors, "head.classifier.bias": torch.zeros(3)}, other / "model.safetensors")
    pair = f"{state.folder / 'cola'} and {other} cannot be merged"
    refused(f"{pair}: head.classifier.bias is (2,) and (3,)", state.folder / "cola", other)
    del tensors["adapters.pals.key.1.bias"]
    save_file(tensors, other / "model.safetensors")
    refused(f"{pair}: only one of them has adapters.pals.key.1.bias", state.folder / "cola", other)


def test_what_is_asked_for_must_make_sense(state, refused, tmp_path) -> None:
    cola, sst2 = state.folder / "cola", state.folder / "sst2"
    refused("merging takes two adapter files at least, not 1", cola)
    refused("3 weights for 2 adapter files", cola, sst2, weights=(1, 1, 1))
    refused("1 weight for 2 adapter files", cola, sst2, weights=(1,))
    refused("weights must be finite numbers", cola, sst2, weights=(1, float("nan")))
    refused(
        "weights of an average are positive or 0, and not all 0\n"
        "  to take an adapter away, use the method arithmetic",
        *(cola, sst2),
        weights=(1, -1),
    )
    refused('no method "mean"; there is: average, arithmetic', cola, sst2, method="mean")
    refused(
        'head "colla": none of the adapter files is called so\n'
        f"  there is: cola ({cola}), sst2 ({sst2})",
        *(cola, sst2),
        head="colla",
    )
    (tmp_path / "there/more").mkdir(parents=True)
    there = f"{tmp_path / 'there'}: exists already; name another folder"
    refused(there, cola, sst2, output="there")
    parent = f"{tmp_path / 'no/out'}: there is no folder {tmp_path / 'no'}"
    refused(parent, cola, sst2, output="no/out")


def test_files_that_lack_the_same_tensor(copied, refused) -> None:
    """What an adapter has is known with its encoder."""
    folders = [copied(task) for task in ("rte", "qnli")]
    for folder in folders:
        tensors = load_file(folder / "model.safetensors")
        lost = min(tensors)
        save_file({n: t for n, t in tensors.items() if n != lost}, folder / "model.safetensors")
    base = copied("encoder")
    message = f"{folders[0]}: damaged: it lacks {lost}"
    refused(message, *folders, method="arithmetic", base=base)
    refused(message, *folders, base=base)


def test_values_that_are_not_finite(copied, state, refused) -> None:
    folder = copied("cola")
    tensors = load_file(folder / "model.safetensors")
    name = max(tensors)
    tensors[name].view(-1)[-1] = float("nan")
    save_file(tensors, folder / "model.safetensors")
    message = (
        f"{folder}/model.safetensors: {name} has values that are not finite\n"
        "  they were damaged, or training went astray"
    )
    refused(message, state.folder / "sst2", folder)
    with pytest.raises(CheckpointError) as caught:
        load_adapter(folder, load_encoder(state.folder / "encoder", device="cpu"))
    assert str(caught.value) == message


def test_files_that_started_in_different_ways(copied, state, refused) -> None:
    folder = copied("sst2")
    said = json.loads((folder / "task.json").read_text())
    del said["init"]  # as earlier files have it: the defaults
    (folder / "task.json").write_text(json.dumps(said))
    merge_adapters([state.folder / "cola", folder], output=folder.parent / "old")
    said["init"] = {"layer_norm": "normal"}
    (folder / "task.json").write_text(json.dumps(said))
    refused(
        f"{state.folder / 'cola'} and {folder} cannot be merged: they started in different ways\n"
        "  init: layer_norm ones and normal",
        state.folder / "cola",
        folder,
    )
