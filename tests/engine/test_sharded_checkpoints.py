"""Checkpoints that processes write together, each its part, and everyone who may read them."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.checkpoint import filesystem, hf_storage
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from bertmod import CheckpointError
from bertmod.engine import sharded_files
from bertmod.engine.checkpoint import Snapshot, load_newest, resume_newest, save_checkpoint
from bertmod.engine.parallel import Ranks
from bertmod.engine.run_folder import RunFolder
from bertmod.errors import RunFolderError

PRELOADED = (hf_storage,)  # once, instead of in every fork

STATE = {"counters": {"step": 4, "score": float("nan")}}


def module(seed: int = 0) -> nn.Module:
    """Parameters whose first axis 2, 3 and 4 processes share unevenly or not at all; a buffer."""
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Linear(7, 5), nn.BatchNorm1d(5), nn.Linear(5, 3), nn.Linear(3, 1))
    made[2].weight.requires_grad_(False)
    return made


def tensors(seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """Whole tensors of a checkpoint: of the optimizer two like the parameter, two of no shape."""
    draw = torch.Generator().manual_seed(seed)
    model = module(seed)
    optimizer: dict[str, Tensor] = {}
    for name, each in model.named_parameters():
        optimizer[f"{name}/exp_avg"] = torch.randn(each.shape, generator=draw)
        optimizer[f"{name}/sum"] = torch.randn(each.shape, generator=draw, dtype=torch.float64)
        optimizer[f"{name}/step"] = torch.tensor(4.0)
        optimizer[f"{name}/bits"] = torch.arange(6, dtype=torch.uint8)
    average = {name: each.detach() * 0.9 for name, each in model.named_parameters()}
    return {"model": model.state_dict(), "optimizer": optimizer, "average": average}


def parameters(ranks: Ranks) -> dict[str, Tensor]:
    """A fresh module's, in parts."""
    mesh, made = init_device_mesh("cpu", (ranks.size,)), module(seed=5)
    fully_shard(made[0], mesh=mesh)
    fully_shard(made, mesh=mesh)
    return made.state_dict()


def in_parts(ranks: Ranks, step: int = 4) -> Snapshot:
    snapshot = Snapshot(step, {}, {}, STATE)
    return snapshot.holding(sharded_files.in_parts(tensors(step), parameters(ranks)))


def save(ranks: Ranks, folder: Path, *steps: int) -> Path | None:
    """Save some steps; every process but the first knows of no folder."""
    path = None
    for step in steps:
        own = folder if ranks.is_main else None
        path = save_checkpoint(own, in_parts(ranks, step), keep=2, ranks=ranks)
    return path


def whole(snapshot: Snapshot) -> dict[str, dict[str, Tensor]]:
    """All tensors of a snapshot, put together if they are in parts."""
    return {
        part: {name: full(each) for name, each in snapshot.parts[part].items()}
        for part in snapshot.parts
    }


def full(tensor: Any) -> Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def assert_same(found: dict[str, dict[str, Tensor]], right: dict[str, dict[str, Tensor]]) -> None:
    assert found.keys() == right.keys()
    for part in right:
        assert found[part].keys() == right[part].keys()
        for name, each in right[part].items():
            assert found[part][name].dtype == each.dtype, name
            assert torch.equal(found[part][name], each), name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def written(in_processes, tmp_path_factory) -> Path:
    """Steps 4 and 8, written by two processes."""
    folder = tmp_path_factory.mktemp("written")
    found = in_processes(lambda ranks: save(ranks, folder, 2, 4, 8))
    assert found == [folder / "step-00000008", None]
    return folder


@pytest.fixture
def checkpoints(written, tmp_path) -> Path:
    """The same, to be spoilt."""
    return shutil.copytree(written, tmp_path / "checkpoints")


def test_what_two_processes_write(checkpoints) -> None:
    assert names(checkpoints) == ["step-00000004", "step-00000008"]
    newest = checkpoints / "step-00000008"
    assert names(newest) == [
        "manifest.json",
        "shard-00001-model-00001-of-00001.safetensors",
        "shard-00002-model-00001-of-00001.safetensors",
        "state.json",
    ]
    manifest = json.loads((newest / "manifest.json").read_text())
    assert (manifest["format_version"], manifest["step"]) == (2, 8)
    assert len(manifest["files"]) == 3


def test_the_same_state_twice_gives_the_same_files(checkpoints, in_processes, tmp_path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    in_processes(lambda ranks: save(ranks, again, 8))
    for path in (checkpoints / "step-00000008").iterdir():
        assert (again / "step-00000008" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_large_state_is_written_in_several_files(in_processes, tmp_path, monkeypatch) -> None:
    """torch has a file twice in memory before it is written, so that files should not be large."""
    monkeypatch.setattr(sharded_files, "FILE_BYTES", 100)
    in_processes(lambda ranks: save(ranks, tmp_path, 8))
    files = list((tmp_path / "step-00000008").glob("*.safetensors"))
    assert len(files) > 6
    for path in files:
        found = load_file(path)
        assert len(found) == 1 or sum(each.nbytes for each in found.values()) <= 2 * 100
    assert_same(whole(load_newest(tmp_path)), tensors(8))


def test_one_process_reads_it_whole(checkpoints) -> None:
    found = load_newest(checkpoints)
    assert found.step == 8
    assert str(found.state["counters"]["score"]) == "nan"
    assert_same(whole(found), tensors(8))


@pytest.mark.parametrize("size", [2, 3])
def test_several_processes_read_their_parts(checkpoints, in_processes, size) -> None:
    def resumed(ranks: Ranks) -> Any:
        like, own = parameters(ranks), checkpoints if ranks.is_main else None
        found = resume_newest(own, keep=2, ranks=ranks, like=like)
        right = in_parts(ranks, 8)
        for part in right.parts:
            for name, each in right.parts[part].items():
                assert type(found.parts[part][name]) is type(each), name
                if hasattr(each, "to_local"):
                    assert found.parts[part][name].placements == each.placements, name
                    assert torch.equal(found.parts[part][name].to_local(), each.to_local()), name
        return found.step, found.state["counters"]["step"], whole(found)

    for step, counted, found in in_processes(resumed, size):
        assert (step, counted) == (8, 4)
        assert_same(found, tensors(8))


def test_processes_with_whole_models_read_it(checkpoints, in_processes) -> None:
    def resumed(ranks: Ranks) -> Any:
        own = checkpoints if ranks.is_main else None
        like = module().state_dict()
        return whole(resume_newest(own, keep=2, ranks=ranks, like=like))

    for found in in_processes(resumed):
        assert_same(found, tensors(8))


def test_processes_in_parts_read_an_ordinary_one(in_processes, tmp_path) -> None:
    save_checkpoint(tmp_path, Snapshot(8, {}, {}, STATE).holding(tensors(8)), keep=2)

    def resumed(ranks: Ranks) -> Any:
        like, own = parameters(ranks), tmp_path if ranks.is_main else None
        found = resume_newest(own, keep=2, ranks=ranks, like=like)
        for part in ("model", "average"):
            for name, each in found.parts[part].items():
                assert type(each) is type(like[name]), name
        for name, each in found.optimizer.items():
            alike = name.rpartition("/")[2] in ("exp_avg", "sum")
            assert hasattr(each, "to_local") == alike, name
            if alike:  # a view of the whole would keep it in memory
                assert each.to_local().untyped_storage().nbytes() == each.to_local().nbytes
        return whole(found)

    for found in in_processes(resumed):
        assert_same(found, tensors(8))


def test_nothing_to_resume_and_nowhere_to_save(in_processes, tmp_path) -> None:
    def tried(ranks: Ranks) -> Any:
        like, own = parameters(ranks), tmp_path if ranks.is_main else None
        saved = save_checkpoint(None, in_parts(ranks), keep=2, ranks=ranks)
        return saved, resume_newest(own, keep=2, ranks=ranks, like=like)

    assert in_processes(tried) == [(None, None)] * 2
    assert list(tmp_path.iterdir()) == []


def test_whatever_is_damaged_the_one_before_is_used(checkpoints, in_processes, caplog) -> None:
    newest = checkpoints / "step-00000008"
    content = {path: path.read_bytes() for path in newest.iterdir()}
    for path, right in content.items():
        spoilt = bytearray(right)
        spoilt[-3] ^= 1
        for damaged in (bytes(spoilt), right[:-1], b"", None):
            path.write_bytes(damaged) if damaged is not None else path.unlink()
            caplog.clear()
            assert load_newest(checkpoints).step == 4, path
            assert f"{newest}" in caplog.text
            assert "trying the one before" in caplog.text
        path.write_bytes(right)
    (newest / "shard-00002-model-00001-of-00001.safetensors").write_bytes(b"no")

    def resumed(ranks: Ranks) -> Any:
        like, own = parameters(ranks), checkpoints if ranks.is_main else None
        return whole(resume_newest(own, keep=2, ranks=ranks, like=like))

    for found in in_processes(resumed):
        assert_same(found, tensors(4))


def test_resuming_puts_the_folder_in_order(checkpoints, in_processes) -> None:
    (checkpoints / "step-00000008").rename(checkpoints / ".old-step-00000008")
    (checkpoints / ".writing-step-00000012").mkdir()

    def resumed(ranks: Ranks) -> Any:
        like, own = parameters(ranks), checkpoints if ranks.is_main else None
        return resume_newest(own, keep=2, ranks=ranks, like=like).step

    assert in_processes(resumed) == [8, 8]
    assert names(checkpoints) == ["step-00000004", "step-00000008"]


def failure(function: Any) -> str:
    try:
        function()
    except (OSError, RunFolderError, CheckpointError) as error:
        return f"{type(error).__name__}: {error}"
    return "none"


@pytest.mark.parametrize("struck", [0, 1])
def test_a_full_disk_of_one_process_ends_all(checkpoints, in_processes, struck) -> None:
    def full_disk(ranks: Ranks) -> str:
        def create_stream(*arguments: Any) -> Any:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        if ranks.rank == struck:
            filesystem.FileSystem.create_stream = create_stream
        return failure(lambda: save(ranks, checkpoints, 12))

    assert in_processes(full_disk) == ["OSError: [Errno 28] No space left on device"] * 2
    assert names(checkpoints) == ["step-00000004", "step-00000008"]


@pytest.mark.parametrize("place", ["mkdir", "write_text"])
def test_a_disk_that_the_main_process_cannot_write_ends_all(
    checkpoints, in_processes, place
) -> None:
    def full_disk(ranks: Ranks) -> str:
        def refuse(*arguments: Any, **options: Any) -> Any:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        if ranks.is_main:
            setattr(Path, place, refuse)
        return failure(lambda: save(ranks, checkpoints, 12))

    assert in_processes(full_disk) == ["OSError: [Errno 28] No space left on device"] * 2
    assert names(checkpoints) == ["step-00000004", "step-00000008"]


def test_a_process_that_does_not_see_the_folder_ends_all(checkpoints, in_processes) -> None:
    def tried(ranks: Ranks) -> tuple[str, str]:
        like, own = parameters(ranks), checkpoints if ranks.is_main else None
        if ranks.rank == 1:
            Path.is_dir = lambda self: False
        return (
            failure(lambda: save(ranks, checkpoints, 12)),
            failure(lambda: resume_newest(own, keep=2, ranks=ranks, like=like)),
        )

    def said(name: str) -> str:
        return (
            f"RunFolderError: {checkpoints / name}: process 1 of 2 (from 0) does not see this "
            'folder\n  with training.parallel "fsdp" every process writes its part of a '
            "checkpoint: name a folder\n  on a disk that all machines have with --output"
        )

    told = (said(".writing-step-00000012"), said("step-00000008"))
    assert in_processes(tried) == [told, told]
    assert names(checkpoints) == ["step-00000004", "step-00000008"]


def test_a_folder_of_one_machine_is_refused_before_training(toy, in_processes, tmp_path) -> None:
    def tried(ranks: Ranks) -> tuple[str, int]:
        run = RunFolder(tmp_path / "run") if ranks.is_main else nullcontext()
        with run as folder:
            trainer = toy.trainer(folder=folder, ranks=ranks, parallel="fsdp")
            if ranks.rank == 1:
                Path.is_dir = lambda self: False
            return failure(trainer.fit).partition("\n")[0], trainer.step

    place = tmp_path / "run" / "checkpoints"
    told = f"RunFolderError: {place}: process 1 of 2 (from 0) does not see this folder"
    assert in_processes(tried) == [(told, 0)] * 2


def test_a_torch_without_the_reader(checkpoints, monkeypatch) -> None:
    """The checkpoint is not taken for a damaged one."""
    monkeypatch.setattr("bertmod.engine.sharded_files.find_spec", lambda name: None)
    with pytest.raises(CheckpointError) as error:
        load_newest(checkpoints)
    assert str(error.value) == (
        f'{checkpoints / "step-00000008"}: was written under training.parallel "fsdp", which torch '
        f"{torch.__version__} cannot read\n  install a newer torch"
    )
