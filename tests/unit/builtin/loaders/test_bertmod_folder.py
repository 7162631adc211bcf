"""The folders that bertmod writes come back as they were."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch

from bertmod import AdapterContext, CheckpointError, EmptyConfig, HeadContext, TaskInfo
from bertmod.builtin.adapters.pals import Pals
from bertmod.builtin.adapters.pals_config import PalsConfig
from bertmod.builtin.adapters.pals_config import names as pals_names
from bertmod.builtin.encoders.config import BertConfig, complete
from bertmod.builtin.encoders.modules import BertEncoder
from bertmod.builtin.encoders.names import names
from bertmod.builtin.heads.modules import Classification, ClassificationConfig
from bertmod.builtin.loaders.plugin import bertmod_loaders
from bertmod.model.canonical import canonical_tensors, own_names
from bertmod.model.folder import read_task, write_encoder, write_task
from bertmod.model.loading import Component, load_tensors
from bertmod.model.record import TaskRecord, read_task_record
from bertmod.nn.initialisation import initialise

LOADERS = {spec.name: spec for spec in bertmod_loaders()}
LOADER = LOADERS["bertmod"]
CONFIG = complete(BertConfig(vocab_size=11, hidden_size=12, num_attention_heads=3))
PALS = PalsConfig(bottleneck_size=12)
INFO = TaskInfo(("no", "yes"), None, {"threshold": 0.25}, "abc")
PALS_SLOT = {"name": "bertmod/pals", "id": "pals", "bottleneck_size": 12, "layers": "all"}


class Parts:
    """An encoder and one task's adapter and head."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.encoder = BertEncoder(CONFIG)
        shape = self.encoder.shape
        context = AdapterContext("nli", shape, (0, 1), torch.nn.Identity, lambda *_: (), initialise)
        self.pals = Pals(PALS, context)
        self.head = Classification(
            ClassificationConfig(), HeadContext("nli", shape, INFO, initialise)
        )
        self.pals_names = pals_names(PALS, shape, (0, 1))

    def task_tensors(self) -> dict[str, torch.Tensor]:
        adapter = canonical_tensors(self.pals, self.pals_names, prefix="adapters.pals.")
        return adapter | canonical_tensors(self.head, own_names(self.head), prefix="head.")


def record(hash_: str, task: str = "nli") -> TaskRecord:
    return TaskRecord(
        id=task,
        task={"name": "bertmod/mnli", "id": task},
        adapters=({**PALS_SLOT, "tasks": "all"},),
        head={"name": "bertmod/classification", "dropout": 0.1},
        info=INFO,
        encoder_hash=hash_,
        metric="dev/accuracy",
        score=0.5,
        step=7,
        recipe_hash="r",
    )


def write(folder: Path, parts: Parts, tasks=("nli",)) -> str:
    found = write_encoder(
        folder / "encoder",
        canonical_tensors(parts.encoder, names(CONFIG), prefix="encoder."),
        encoder={"name": "bertmod/bert", **CONFIG.model_dump()},
        tokenizer={"name": "bertmod/wordpiece", "vocab": "vocab.txt", "lower_case": True},
        files={"vocab.txt": b"a\nb\n"},
        version="0.1.0",
    )
    for task in tasks:
        write_task(folder / task, record(found, task), parts.task_tensors(), version="0.1.0")
    return found


def describe(path: Path, tasks=None):
    return LOADER.describe(EmptyConfig(), str(path), tasks)


@pytest.mark.parametrize("inside", ["", "best/mean", "final", "best/.old-mean"])
def test_a_folder_comes_back_bit_equal(tmp_path, inside) -> None:
    old, new = Parts(1), Parts(2)
    folder = tmp_path / inside
    found = write(folder, old)
    claims = [name for name, spec in LOADERS.items() if spec.can_load(str(tmp_path))]
    assert claims == ["bertmod"]
    about = describe(tmp_path)
    options = {key: value for key, value in about.encoder.items() if key != "name"}
    assert BertConfig.model_validate_json(json.dumps(options)) == CONFIG
    assert about.tokenizer == {
        "name": "bertmod/wordpiece",
        "vocab": str(folder / "encoder" / "vocab.txt"),
        "lower_case": True,
    }
    assert about.adapters == ({**PALS_SLOT, "tasks": ["nli"]},)
    assert about.heads == {"nli": {"name": "bertmod/classification", "dropout": 0.1}}
    assert all(path.is_file() for path in about.files)
    assert len(about.files) == 5
    components = [
        Component("encoder", names(CONFIG), new.encoder, required=True),
        Component("adapters.nli.pals", new.pals_names, new.pals),
        Component("heads.nli", own_names(new.head), new.head),
    ]
    report = load_tensors(LOADER.tensors(str(tmp_path)), about, components)
    assert (report.skipped, report.initialised, report.missing) == ({}, (), ())
    for module, other in ((new.encoder, old.encoder), (new.pals, old.pals), (new.head, old.head)):
        for parameter, wanted in zip(module.parameters(), other.parameters(), strict=True):
            assert torch.equal(parameter, wanted)
    assert write(tmp_path / "again", new) == found


def test_the_encoder_alone(tmp_path) -> None:
    write(tmp_path, Parts(1))
    about = describe(tmp_path / "encoder", ())
    assert (about.heads, about.adapters) == ({}, ())
    moved = tmp_path / "elsewhere"
    (tmp_path / "encoder").rename(moved)
    assert LOADER.can_load(str(moved)) == "config.json says it is bertmod's"
    assert set(LOADER.tensors(str(moved))) == {f"encoder.{row.canonical}" for row in names(CONFIG)}


def test_tasks_that_nobody_asked_for_are_skipped(tmp_path) -> None:
    parts = Parts(1)
    write(tmp_path, parts, tasks=("a", "b"))
    about = describe(tmp_path)
    assert about.adapters == ({**PALS_SLOT, "tasks": ["a", "b"]},)
    component = Component("encoder", names(CONFIG), parts.encoder, required=True)
    report = load_tensors(LOADER.tensors(str(tmp_path)), about, [component])
    assert report.skipped["heads.a.classifier.bias"] == "task head that nobody asked for"
    assert report.skipped["adapters.b.pals.up.shared.bias"] == "adapter that nobody asked for"


def test_chosen_tasks(tmp_path) -> None:
    write(tmp_path, Parts(1), tasks=("a", "b"))
    assert describe(tmp_path, ("b",)).tasks == ("b",)
    with pytest.raises(CheckpointError, match='no task "c" there\n  there: a, b'):
        describe(tmp_path, ("c",))


def test_what_a_task_says_of_itself_comes_back(tmp_path) -> None:
    parts = Parts(1)
    wanted = record("h")
    write_task(tmp_path / "nli", wanted, parts.task_tensors(), version="0.1.0")
    found, tensors = read_task(tmp_path / "nli")
    assert found == wanted
    assert set(tensors) == set(parts.task_tensors())
    values = json.loads((tmp_path / "nli" / "task.json").read_text())
    assert (values["format_version"], values["bertmod_version"]) == (1, "0.1.0")
    assert values["info"]["labels"] == ["no", "yes"]


def test_a_newer_format_is_refused_with_both_numbers(tmp_path) -> None:
    write(tmp_path, Parts(1))
    for path in (tmp_path / "nli" / "task.json", tmp_path / "encoder" / "config.json"):
        values = json.loads(path.read_text())
        path.write_text(json.dumps({**values, "format_version": 3, "bertmod_version": "9.0"}))
        with pytest.raises(CheckpointError) as caught:
            describe(tmp_path)
        assert str(caught.value) == (
            f"{path}: format version 3, but this bertmod reads up to 1\n"
            "  it was written by bertmod 9.0; install that or a newer one"
        )


def test_a_task_of_another_encoder(tmp_path) -> None:
    parts = Parts(1)
    write(tmp_path, parts)
    write_task(tmp_path / "nli", record("other"), parts.task_tensors(), version="0.1.0")
    with pytest.raises(CheckpointError, match='"nli" was trained with another encoder than the'):
        describe(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("nli/task.json", "{", r"task\.json: cannot be read: Expecting"),
        ("nli/task.json", "[]", r"task\.json: not a JSON object"),
        ("nli/task.json", '{"format_version": 1}', r"task\.json: damaged: KeyError: 'info'"),
        ("nli/task.json", "{}", r'task\.json: damaged: no "format_version"'),
        ("encoder/config.json", "{", "no encoder that bertmod wrote there\n  accepted: a run"),
        ("encoder/config.json", '{"format": "bertmod", "format_version": 1}', 'no "encoder"'),
        ("encoder/vocab.txt", None, r"encoder: no vocab\.txt beside the weights"),
    ],
)
def test_damaged_folders(tmp_path, file, content, message) -> None:
    write(tmp_path, Parts(1))
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        describe(tmp_path)


@pytest.mark.parametrize("file", ["encoder/model.safetensors", "nli/model.safetensors"])
def test_weights_cut_off_by_a_byte(tmp_path, file) -> None:
    write(tmp_path, Parts(1))
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged: .* bytes long"):
        LOADER.tensors(str(tmp_path))
    if file.startswith("nli"):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read_task(tmp_path / "nli")


def test_a_missing_record(tmp_path) -> None:
    with pytest.raises(CheckpointError, match=r"task\.json: no such file"):
        read_task_record(tmp_path)


def test_what_the_system_refuses_keeps_its_number(tmp_path) -> None:
    (tmp_path / "nli" / "model.safetensors").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as caught:
        write_task(tmp_path / "nli", record("h"), Parts(1).task_tensors(), version="0.1.0")
    assert caught.value.errno == errno.EISDIR
    assert caught.value.filename == str(tmp_path / "nli" / "model.safetensors")
