"""Models of Bert-n-Pals, converted, against what Bert-n-Pals computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertmod import CheckpointError
from bertmod.convert import convert

pytestmark = pytest.mark.shared
VARIANTS = (
    "houlsby",
    "houlsby_plus_pals_extra_dim",
    "lhuc",
    "low_rank",
    "none",
    "pals",
    "pals_plus_lhuc",
    "top_attention",
    "top_bert_layer",
)


@pytest.fixture
def written(reference, golden_case, tmp_path):
    """Writes a stored model as Bert-n-Pals saved it; gives the case and the folder."""

    def write(variant: str) -> tuple:
        case = golden_case(f"02_multitask_{variant}")
        stored, values = reference.weights(case.tensors), case.info["config"]
        folder = tmp_path / "original"
        return case, reference.write_folder(folder, values, stored, file="best_model.pth")

    return write


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_tasks_outputs(reference, written, tmp_path: Path, variant: str) -> None:
    case, original = written(variant)
    ids = tuple(f"own_{name}" for name in case.info["task_names"])
    done = convert(original, tmp_path / "copy", to="bertmod", tasks=ids)
    assert set(done.report.used) == set(case.info["state_dict_keys"])
    assert (done.report.skipped, done.tasks) == ({}, ids)
    labels = {id_: n for id_, n in zip(ids, case.info["tasks"], strict=True) if n > 1}
    loaded = reference.Loaded("bertmod", tmp_path / "copy", tasks=ids, num_labels=labels)
    rows = reference.Rows(case.tensors, "packed")
    for index, task in enumerate(ids):
        with torch.no_grad():
            answer = loaded.model(rows.batch(case.tensors[f"input/labels_task_{index}"]), task)
        wanted = case.tensors[f"output/task_{index}/logits"]
        torch.testing.assert_close(answer.logits["logits"], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("to", ["huggingface", "tensorflow"])
def test_adapters_have_no_place_elsewhere(written, tmp_path: Path, to: str) -> None:
    _, original = written("pals")
    with pytest.raises(CheckpointError) as caught:
        convert(original, tmp_path / "copy", to=to)
    assert str(caught.value).startswith(
        f'{original}: {to} has no place for adapter "pals" of task "task_0"\n'
    )
    convert(original, tmp_path / "copy", to=to, encoder_only=True)


def test_three_heads_have_one_place(written, tmp_path: Path) -> None:
    _, original = written("none")
    with pytest.raises(CheckpointError) as caught:
        convert(original, tmp_path / "copy", to="huggingface")
    assert str(caught.value) == (
        f'{original}: huggingface has one place for head "classification" of task "task_0" and '
        'head "regression" of task "task_1": both would be called "classifier.weight"\n'
        "  give its tasks ids first, --to bertmod, then choose one of them: --task ID\n"
        "  keep everything: --to bertmod"
    )
    convert(original, tmp_path / "own", to="bertmod", tasks=["first", "second", "third"])
    convert(tmp_path / "own", tmp_path / "copy", to="huggingface", tasks=["second"])
