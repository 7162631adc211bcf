"""Shared encoder, projected attention layers and heads against Bert-n-Pals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bertmod.builtin.adapters.plugin import PalsConfig
from bertmod.builtin.encoders.plugin import BertConfig
from bertmod.model.canonical import canonical_views
from bertmod.model.loading import stored_names

pytestmark = pytest.mark.shared
CASES = ("02_multitask_none", "02_multitask_pals")
LAYOUTS = ("packed", "padded")
FILES = ("best_model.pth", "best_model.safetensors")
WANT = frozenset({"layers", "pooled"})


def load(reference, case, folder: Path, file: str = FILES[0]):
    reference.write_folder(folder, case.info["config"], reference.weights(case.tensors), file=file)
    names = tuple(case.info["task_names"])
    labels = {name: n for name, n in zip(names, case.info["tasks"], strict=True) if n > 1}
    return reference.Loaded("bert_n_pals", folder, tasks=names, num_labels=labels)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("file", FILES)
def test_outputs_and_loss_of_every_task(
    reference, golden_case, tmp_path, name, layout, file
) -> None:
    case = golden_case(name)
    loaded, rows = load(reference, case, tmp_path, file), reference.Rows(case.tensors, layout)
    assert (loaded.report.skipped, loaded.report.initialised) == ({}, ())
    assert set(loaded.report.used) == set(case.info["state_dict_keys"])
    for index, task in enumerate(case.info["task_names"]):
        batch = rows.batch(case.tensors[f"input/labels_task_{index}"])
        with torch.no_grad():
            output = loaded.model.encode(batch, task, want=WANT)
            answer = loaded.model(batch, task)
        wanted = reference.weights(case.tensors, f"output/task_{index}/")
        for layer, found in enumerate(output.layers[1:]):
            difference = rows.tokens(found) - wanted[f"encoder_layer_{layer}"][rows.real]
            assert float(difference.abs().max()) <= 1e-5
        torch.testing.assert_close(output.pooled_RH, wanted["pooled_output"], rtol=0, atol=1e-5)
        torch.testing.assert_close(answer.logits["logits"], wanted["logits"], rtol=0, atol=1e-5)
        ((loss, weight),) = answer.losses.values()
        assert weight == 1.0
        assert abs(float(loss) / len(rows.lengths) - float(wanted["loss"])) <= 1e-5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_of_the_stored_task(reference, golden_case, tmp_path, layout) -> None:
    case = golden_case("02_multitask_pals")
    loaded, rows = load(reference, case, tmp_path), reference.Rows(case.tensors, layout)
    index = case.info["gradients"]["task"]
    task = case.info["task_names"][index]
    answer = loaded.model(rows.batch(case.tensors[f"input/labels_task_{index}"]), task)
    ((loss, _),) = answer.losses.values()
    (loss / len(rows.lengths)).backward()

    checked = set()
    for component in loaded.components:
        for name, gradient in gradients(component).items():
            known = [each for each in name if f"grad/{each}" in case.tensors]
            if not known:
                assert gradient is None, name
                continue
            wanted = case.tensors[f"grad/{known[0]}"]
            room = max(1e-4 * float(wanted.abs().max()), 1e-6)
            assert float((gradient - wanted).abs().max()) <= room, name
            checked.add(f"grad/{known[0]}")
    assert checked == {name for name in case.tensors if name.startswith("grad/")}


def gradients(component) -> dict[tuple[str, ...], torch.Tensor | None]:
    """Every name that the original may use for a tensor, to the tensor's gradient."""
    parameters = dict(component.module.named_parameters())
    starts = {p.data_ptr(): p for p in parameters.values()}
    fused = {row.canonical: row.fused for row in component.names}
    found = {}
    for name, view in canonical_views(component.module, component.names).items():
        row = next(row for row in component.names if row.canonical == name)
        place = fused[name]
        whole = starts[view.data_ptr()] if place is None else parameters[place[0]]
        gradient = whole.grad
        if gradient is not None and place is not None:
            gradient = gradient.chunk(3)[place[1]]
        spellings = []
        for stored in stored_names(component, row, "bert_n_pals"):
            prefix = "" if stored.startswith("classifier") else "bert."
            old = stored.replace("LayerNorm.weight", "LayerNorm.gamma")
            spellings.append(prefix + old.replace("LayerNorm.bias", "LayerNorm.beta"))
        found[tuple(spellings)] = gradient
    return found


def test_active_parameters_are_those_with_gradients(reference, golden_case, tmp_path) -> None:
    case = golden_case("02_multitask_pals")
    loaded, rows = load(reference, case, tmp_path), reference.Rows(case.tensors, "packed")
    answer = loaded.model(rows.batch(case.tensors["input/labels_task_2"]), "mnli")
    answer.losses["classification"][0].backward()
    named = loaded.model.named_parameters()
    assert {name for name, p in named if p.grad is not None} == loaded.model.active("mnli")


def test_parameter_counts_of_the_published_configuration(reference, golden_case) -> None:
    counts = golden_case("02_parameter_counts").info["counts"]
    added = counts["pals_config"]["bert_parameters"] - counts["own_none"]["bert_parameters"]
    shape = reference.spec("encoder", "bert").shape(BertConfig(size="base"))
    pals, head = reference.spec("adapter", "pals"), reference.spec("head", "classification")
    assert 8 * pals.num_parameters(PalsConfig(), shape, tuple(range(12))) == added == 14_558_688
    assert 8 * pals.num_parameters(PalsConfig(), shape, tuple(range(6, 12))) == 8_536_608
    labels = (2, 2, 3, 2, 1, 2, 2, 2)
    total = sum(head.num_parameters(head.config(), shape, n) for n in labels)
    assert total == counts["pals_config"]["classifier_parameters"] == 12_304


def test_counted_parameters_are_those_that_are_built(reference, golden_case, tmp_path) -> None:
    case = golden_case("02_multitask_pals")
    model = load(reference, case, tmp_path).model
    assert sum(p.numel() for p in model.parameters()) == case.info["num_parameters"]
