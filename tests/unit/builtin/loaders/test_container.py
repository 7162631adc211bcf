"""Files of tensors: kinds of numbers, old and new pickles, checkpoints in several files."""

from __future__ import annotations

import contextlib
import gc
import json
import pickle
import resource
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from bertmod import CheckpointError
from bertmod.builtin.loaders.container import shapes, stored_tensors, weight_files

FILES = ("new.bin", "old.bin", "one.safetensors")


def save(tensors, path: Path) -> Path:
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=path.name != "old.bin")
    return path


def read(path: Path) -> dict[str, torch.Tensor]:
    return {name: each.load() for name, each in stored_tensors(path, rename=str).items()}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("file", FILES)
def test_kinds_of_numbers_come_back_as_they_are(tmp_path: Path, file, dtype) -> None:
    tensors = {"a": torch.randn(3, 2, dtype=torch.float64).to(dtype), "b": torch.ones(()).to(dtype)}
    path = save(tensors, tmp_path / file)
    assert shapes(path) == {"a": (3, 2), "b": ()}
    for name, found in read(path).items():
        assert found.dtype == dtype
        assert torch.equal(found, tensors[name])


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.float8_e4m3fn])
@pytest.mark.parametrize("file", ["new.bin", "one.safetensors"])
def test_other_kinds_are_left_to_whoever_reads_them(tmp_path: Path, file, dtype) -> None:
    path = save({"a": torch.ones(4).to(dtype)}, tmp_path / file)
    assert read(path)["a"].dtype == dtype


@pytest.mark.parametrize("file", ["new.bin", "old.bin"])
def test_views_parameters_and_strides(tmp_path: Path, file) -> None:
    whole = torch.randn(6, 4)
    tensors = {
        "whole": whole,
        "rows": whole[2:4],
        "turned": whole.t(),
        "steps": whole[::2, 1],
        "parameter": nn.Parameter(whole[:1]),
        "same": whole,
        "wide": torch.ones(1, 4).expand(3, 4),
        "empty": torch.ones(0, 4),
    }
    path = save(tensors, tmp_path / file)
    assert shapes(path) == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    found = read(path)
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)
        assert found[name].is_contiguous()
        assert type(found[name]) is torch.Tensor
        assert not found[name].requires_grad
    found["whole"].zero_()
    assert torch.equal(found["same"], whole)


def test_a_zipped_file_is_mapped_and_let_go(tmp_path: Path) -> None:
    path = save({"a": torch.ones(1000, 1000)}, tmp_path / "new.bin")
    stored = stored_tensors(path, rename=str)
    kept = stored["a"].load()
    maps = Path("/proc/self/maps")
    if maps.is_file():
        assert str(path) in maps.read_text()
    del stored
    gc.collect()
    if maps.is_file():
        assert str(path) not in maps.read_text()
    assert float(kept.sum()) == 1e6


def test_a_flipped_byte_in_a_zipped_file(tmp_path: Path) -> None:
    path = save({"a": torch.ones(1000)}, tmp_path / "new.bin")
    content = bytearray(path.read_bytes())
    content[content.index(b"\x00\x00\x80\x3f" * 10) + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged: the checksum of new/data/0 differs"):
        read(path)


@pytest.mark.parametrize("file", FILES)
def test_what_git_leaves_in_place_of_a_file(tmp_path: Path, file) -> None:
    path = tmp_path / file
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 44\n")
    with pytest.raises(CheckpointError) as caught:
        shapes(path)
    assert str(caught.value) == (
        f"{path}: a pointer of Git LFS in place of the file\n  fetch the file: git lfs pull"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a file that torch.save wrote"),
        (b"<!doctype html>", "not a file that torch.save wrote"),
        (pickle.dumps(3), "not a file that torch.save wrote"),
        (b"\x80\x02", "cut off: it ends in the middle of its header"),
    ],
)
def test_what_torch_did_not_write(tmp_path: Path, content, message) -> None:
    path = tmp_path / "old.bin"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        shapes(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_file_that_was_zipped_again(tmp_path: Path) -> None:
    """Other tools compress; torch's map of such a file would be of compressed bytes."""
    path = save({"a": torch.arange(500.0)}, tmp_path / "new.bin")
    again = tmp_path / "again.bin"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(again, "w", zipfile.ZIP_DEFLATED) as made:
        for name in old.namelist():
            made.writestr(name, old.read(name))
    assert torch.equal(read(again)["a"], torch.arange(500.0))


def test_a_pickle_before_a_zip_is_judged_by_its_beginning(tmp_path: Path) -> None:
    """Zip archives may have anything before them: what is judged must be what is read."""
    path = save({"a": torch.ones(2)}, tmp_path / "old.bin")
    harmless = save({"b": torch.ones(3)}, tmp_path / "new.bin")
    path.write_bytes(path.read_bytes() + harmless.read_bytes())
    assert shapes(path) == {"a": (2,)}


def test_a_damaged_number_takes_no_memory(tmp_path: Path) -> None:
    """Pickles number what they keep; a list with room for a number like this has 64 GB."""
    path = save({f"t{n}": torch.ones(2) for n in range(80)}, tmp_path / "old.bin")
    content = path.read_bytes()
    place = content.index(pickle.LONG_BINPUT + (300).to_bytes(4, "little"))
    path.write_bytes(content[: place + 1] + b"\xff\xff\xff\xff" + content[place + 5 :])
    with contextlib.suppress(CheckpointError):
        assert len(shapes(path)) == 80
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8_000_000  # kilobytes


def test_a_header_too_deep(tmp_path: Path) -> None:
    header = b'{"a":' + b"[" * 100_000
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match="damaged header: "):
        shapes(path)


TENSORS = {"a": torch.ones(3, 2), "b": torch.zeros(4), "c": torch.arange(2.0)}


def shards(folder: Path, suffix=".safetensors", weight_map=None, **files) -> Path:
    """A checkpoint in two files with its index."""
    stem, end = ("model", suffix) if suffix == ".safetensors" else ("pytorch_model", suffix)
    first, second = (f"{stem}-0000{n}-of-00002{end}" for n in (1, 2))
    content = {first: ("a", "b"), second: ("c",), **files}
    for name, names in content.items():
        save({each: TENSORS[each] for each in names}, folder / name)
    index = folder / f"{stem}{end}.index.json"
    told = {"a": first, "b": first, "c": second} if weight_map is None else weight_map
    index.write_text(json.dumps({"metadata": {"total_size": 48}, "weight_map": told}))
    return index


FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_a_checkpoint_in_several_files(tmp_path: Path, suffix) -> None:
    index = shards(tmp_path, suffix)
    assert len(weight_files(index)) == 2
    assert shapes(index) == {"a": (3, 2), "b": (4,), "c": (2,)}
    assert all(torch.equal(found, TENSORS[name]) for name, found in read(index).items())


def test_one_file_is_its_own(tmp_path: Path) -> None:
    path = save(TENSORS, tmp_path / "model.safetensors")
    assert weight_files(path) == (path,)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_what_transformers_writes(tmp_path: Path, suffix) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    model = transformers.BertModel(config)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    index = tmp_path / "model.safetensors.index.json"
    if suffix == "bin":  # today's transformers writes safetensors alone
        told = json.loads(index.read_text())
        for file in weight_files(index):
            torch.save(read(file), file.with_suffix(".bin"))
        names = {k: v.replace(".safetensors", ".bin") for k, v in told["weight_map"].items()}
        index = tmp_path / "pytorch_model.bin.index.json"
        index.write_text(json.dumps(told | {"weight_map": names}))
    assert len(weight_files(index)) > 2
    found = read(index)
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        (
            {"a": FIRST, "b": "model-00009-of-00009.safetensors"},
            '"model-00009-of-00009.safetensors" is not there\n'
            "  a sharded checkpoint needs all of its files",
        ),
        (
            {"a": FIRST, "b": FIRST, "c": FIRST, "d": SECOND},
            f'"c" and 1 more are not in the file that it says, {FIRST}\n'
            "  take the index and the files from one place",
        ),
        (
            {"a": "../model.safetensors"},
            "refused: \"a\" lies in '../model.safetensors', which is not inside the folder",
        ),
        (
            {"a": "/etc/passwd"},
            "refused: \"a\" lies in '/etc/passwd', which is not inside the folder",
        ),
        ({"a": 3}, 'refused: "a" lies in 3, which is not inside the folder'),
        ({"a": ""}, "refused: \"a\" lies in '', which is not inside the folder"),
        ({}, "damaged: no weight_map from tensors to files in it"),
        ([], "damaged: no weight_map from tensors to files in it"),
    ],
)
def test_an_index_that_is_wrong(tmp_path: Path, weight_map, message) -> None:
    index = shards(tmp_path, weight_map=weight_map)
    for refused in (shapes, read):
        with pytest.raises(CheckpointError) as caught:
            refused(index)
        assert str(caught.value) == f"{index}: {message}"


def test_a_tensor_in_two_files(tmp_path: Path) -> None:
    index = shards(tmp_path, **{SECOND: ("c", "a")})
    with pytest.raises(CheckpointError) as caught:
        shapes(index)
    assert str(caught.value) == f'{index}: "a" is in two files, {FIRST} and {SECOND}'


def test_a_damaged_file_among_several(tmp_path: Path) -> None:
    index = shards(tmp_path)
    path = tmp_path / SECOND
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=rf"{SECOND}: damaged"):
        shapes(index)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"[" * 100_000])
def test_an_index_that_is_no_json(tmp_path: Path, content) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged: no weight_map from tensors to files"):
        shapes(path)
