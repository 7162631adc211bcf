"""Adapter files: what they hold, what is built from them, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bertmod import BertmodError, __version__
from bertmod.engine.evaluate import EvaluationSettings, decode
from bertmod.inference import load_adapter, load_encoder, predict_mixed, resident
from bertmod.model.multitask import MultiTaskModel

TEXTS = [{"text": "the cat sat .", "text_pair": "a dog ran ."}, {"text": "a cat", "text_pair": "."}]


@pytest.fixture
def base(state):
    return load_encoder(state.folder, device="cpu")


@pytest.fixture
def copied(state, tmp_path) -> Path:
    """A copy of a task's folder, to be damaged."""
    return Path(shutil.copytree(state.folder / "cola", tmp_path / "cola"))


@pytest.fixture
def refused(base, copied):
    """Asserts that the copy is refused with a message."""

    def check(message: str, **options) -> None:
        with pytest.raises(BertmodError) as caught:
            load_adapter(copied, base, **options)
        assert str(caught.value) == message

    return check


def changed(folder: Path, **values) -> None:
    path = folder / "task.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_a_file_says(state) -> None:
    files = sorted(path.name for path in (state.folder / "cola").iterdir())
    assert files == ["model.safetensors", "task.json"]
    said = json.loads((state.folder / "sst2/task.json").read_text())
    assert {key: said[key] for key in ("format_version", "bertmod_version", "id")} == {
        "format_version": 1,
        "bertmod_version": __version__,
        "id": "sst2",
    }
    assert said["encoder_hash"] == state.hash
    assert len(said["recipe_hash"]) == 64
    assert said["info"]["labels"] == ["0", "1"]
    assert said["info"]["calibration"] == {"threshold": 0.25}
    assert (said["metric"], said["score"], said["step"]) == ("dev/accuracy", 0.5, 7)
    assert [slot["name"] for slot in said["adapters"]] == ["bertmod/pals"]
    assert said["head"]["name"] == "bertmod/classification"
    assert said["task"]["max_length"] == 9
    assert said["init"] == {"layer_norm": "ones"}
    names = load_file(state.folder / "sst2/model.safetensors").keys()
    assert {name.split(".")[0] for name in names} == {"adapters", "head"}


def test_tasks_answer_as_before_they_were_written(state, base) -> None:
    model, tasks = MultiTaskModel(base.encoder, {}, {}).eval(), {}
    for task in state.model.tasks:
        loaded = load_adapter(state.folder / task, base)
        model.attach(loaded.id, loaded.adapters, loaded.head)
        tasks[task] = loaded.prepared
        assert loaded.info == state.model.head(task).info
    examples = {
        task: [entry.task.example({**fields, "id": number}) for number, fields in enumerate(TEXTS)]
        for task, entry in tasks.items()
    }
    found = predict_mixed(model, tasks, examples)
    settings = EvaluationSettings()
    for task, entry in tasks.items():
        table = entry.make_features(examples[task])
        outputs = decode(state.model, task, table, settings=settings)
        pairs = [[(feature, one)] for feature, one in zip(table, outputs, strict=True)]
        wanted = entry.task.predict(examples[task], pairs, entry.info)
        assert [each["id"] for each in found[task]] == ["0", "1"]
        for one, two in zip(found[task], wanted, strict=True):
            assert one.get("label") == two.get("label")
            assert one.get("probabilities", one.get("value")) == pytest.approx(
                two.get("probabilities", two.get("value")), abs=1e-5
            )


def test_examples_of_an_unknown_task(state, base) -> None:
    cola = load_adapter(state.folder / "cola", base)
    model = MultiTaskModel(base.encoder, {cola.id: cola.adapters}, {cola.id: cola.head})
    rows = {"colla": [cola.prepared.task.example({"text": "a cat"})]}
    with pytest.raises(ValueError, match=r'^the model has no task "colla"; it has cola$'):
        predict_mixed(model, {"cola": cola.prepared}, rows)
    model.borrow("colla", "cola")
    with pytest.raises(ValueError, match=r'^examples of task "colla", but tasks are cola$'):
        predict_mixed(model, {"cola": cola.prepared}, rows)


def test_a_task_keeps_the_length_of_its_rows(state, base) -> None:
    entry = load_adapter(state.folder / "sst2", base).prepared
    table = entry.make_features([entry.task.example({"text": "a cat sat . " * 9})])
    assert table.lengths.tolist() == [9]


def test_one_file_under_two_names(state, base) -> None:
    model = MultiTaskModel(base.encoder, {}, {})
    for name in (None, "second"):
        loaded = load_adapter(state.folder / "cola", base, task=name, labels=("0", "1"))
        model.attach(loaded.id, loaded.adapters, loaded.head)
    assert model.tasks == ("cola", "second")
    assert loaded.prepared.context.id == "second"


def test_the_resident_encoder_is_hashed_once(state, monkeypatch) -> None:
    calls = []
    inner = resident.module_hash
    monkeypatch.setattr(resident, "module_hash", lambda *a, **k: calls.append(1) or inner(*a, **k))
    base = load_encoder(state.folder / "encoder", device="cpu")
    for task in ("cola", "sst2", "rte"):
        load_adapter(state.folder / task, base)
    assert len(calls) == 1
    assert base.hash == state.hash


def test_loading_leaves_chance_alone(state, base) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    load_adapter(state.folder / "cola", base)
    assert torch.equal(torch.rand(2), wanted)


def test_a_written_encoder_is_hashed_once(state, tmp_path, monkeypatch) -> None:
    found = state.writer.encoder_hash()
    monkeypatch.delattr("bertmod.model.folder.encoder_hash")
    state.writer.write_encoder(tmp_path, found)
    assert json.loads((tmp_path / "config.json").read_text())["encoder_hash"] == found


def test_another_base(state, copied, refused) -> None:
    changed(copied, encoder_hash="0" * 64)
    refused(
        f"{copied}: trained with another encoder than the one in memory\n"
        "  expected: 000000000000..., which it was trained with\n"
        f"  in memory: {state.hash[:12]}..."
    )


def test_other_labels(copied, refused) -> None:
    refused(
        f'{copied}: its label names are ["0", "1"], those asked for ["1", "0"]',
        labels=("1", "0"),
    )


def test_a_newer_format(copied, refused) -> None:
    changed(copied, format_version=2, bertmod_version="9.1")
    refused(
        f"{copied}/task.json: format version 2, but this bertmod reads up to 1\n"
        "  it was written by bertmod 9.1; install that or a newer one"
    )


def test_damaged_files(base, copied, refused) -> None:
    changed(copied, adapters=["pals"])
    with pytest.raises(BertmodError, match=r"task\.json: damaged: ValueError"):
        load_adapter(copied, base)
    (copied / "task.json").unlink()
    refused(f"{copied}/task.json: no such file")
    (copied / "model.safetensors").unlink()
    accepted = "  accepted: the folder of one task, such as RUN/best/tasks/cola"
    refused(f"{copied}: no adapter file (it has no task.json)\n{accepted}")
    copied.rmdir()
    refused(f"{copied}: no such folder\n{accepted}")


def test_a_truncated_file(base, copied) -> None:
    path = copied / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    cut = r"model\.safetensors: cannot be read: damaged or cut short: .*\n  copy it here again$"
    with pytest.raises(BertmodError, match=cut):
        load_adapter(copied, base)
    path.unlink()
    with pytest.raises(BertmodError, match=r"model\.safetensors: no such file$"):
        load_adapter(copied, base)


def test_tensors_too_few_and_too_many(copied, refused) -> None:
    path = copied / "model.safetensors"
    tensors = load_file(path)
    del tensors["adapters.pals.key.1.bias"], tensors["head.classifier.bias"]
    tensors["adapters.pals.more"] = torch.zeros(1)
    tensors["head.classifier.weight"] = torch.zeros(3, 16)
    save_file(tensors, path)
    refused(
        f"{copied} does not fit the model\n"
        "  2 tensors missing from the file:\n"
        "      adapters.cola.pals.key.1.bias\n"
        "      heads.cola.classifier.bias\n"
        "  1 tensor in the file, but known to no part of the model:\n"
        "      adapters.pals.more\n"
        "  1 tensor of another shape:\n"
        "      heads.cola.classifier.weight: (3, 16) in the file, (2, 16) in the model"
    )


def test_a_plugin_that_is_not_installed(base, copied) -> None:
    (slot,) = json.loads((copied / "task.json").read_text())["adapters"]
    changed(copied, adapters=[{**slot, "name": "bertmod-gate/gate"}])
    with pytest.raises(BertmodError) as caught:
        load_adapter(copied, base)
    title, path, what, *_ = str(caught.value).splitlines()
    assert (title, path) == (f"{copied}/task.json: 1 problem", "  adapters[0].name")
    assert what.startswith('      no adapter called "bertmod-gate/gate"')


def test_an_encoder_that_cannot_be_used(state, tmp_path) -> None:
    with pytest.raises(BertmodError) as caught:
        load_encoder(tmp_path)
    assert str(caught.value).startswith(f"no loader knows {tmp_path}\n  in it: nothing\n")
    folder = Path(shutil.copytree(state.folder / "encoder", tmp_path / "encoder"))
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.pooler.dense.bias"] += 1
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(BertmodError, match="its weights are not those that config"):
        load_encoder(tmp_path)
