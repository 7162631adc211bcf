"""Shared encoder, every kind of adapter and heads against Bert-n-Pals."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import torch

from bertmod import CheckpointError
from bertmod.builtin.encoders.plugin import BertConfig
from bertmod.model.canonical import canonical_views
from bertmod.model.loading import stored_names

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
CASES = tuple(f"02_multitask_{variant}" for variant in VARIANTS)
LAYOUTS = ("packed", "padded", "packed fast")
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


@pytest.mark.parametrize("name", [name for name in CASES if not name.endswith("_none")])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_of_the_stored_task(reference, golden_case, tmp_path, name, layout) -> None:
    case = golden_case(name)
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


@pytest.mark.parametrize("name", CASES)
def test_active_parameters_are_those_with_gradients(reference, golden_case, tmp_path, name) -> None:
    case = golden_case(name)
    loaded, rows = load(reference, case, tmp_path), reference.Rows(case.tensors, "packed")
    answer = loaded.model(rows.batch(case.tensors["input/labels_task_2"]), "mnli")
    answer.losses["classification"][0].backward()
    named = loaded.model.named_parameters()
    assert {name for name, p in named if p.grad is not None} == loaded.model.active("mnli")


@pytest.mark.parametrize("name", CASES)
def test_counted_parameters_are_those_that_are_built(
    reference, golden_case, tmp_path, name
) -> None:
    case = golden_case(name)
    model = load(reference, case, tmp_path).model  # which compares each adapter's own count
    assert sum(p.numel() for p in model.parameters()) == case.info["num_parameters"]


HOULSBY_SITES = {"sites": ["attention_output", "ffn_output"], "parallel": ["ffn_output"]}
PUBLISHED = {
    "own_none": [],
    "pals_config": [("pals", {})],
    "low_rank_config": [("low_rank", {})],
    "houlsby_config": [("bottleneck", {"bottleneck_size": 50, **HOULSBY_SITES})],
    "houlsby_plus_pals_config": [
        ("bottleneck", {"bottleneck_size": 50, "sites": ["attention_output"]}),
        ("pals", {"bottleneck_size": 156, "site": "ffn_output"}),
    ],
    "top_attn_config": [("top_attention", {})],
    "own_top_bert_layer": [("top_layer", {})],
    "own_lhuc": [("lhuc", {})],
    "own_pals_plus_lhuc": [("pals", {}), ("lhuc", {"site": "layer_residual"})],
}
"""Configuration to the adapters that a recipe names for it."""

PER_TASK = {
    "pals_config": 1_819_836,
    "low_rank_config": 1_853_616,
    "houlsby_config": 1_862_832,
    "houlsby_plus_pals_config": 2_053_668,
    "top_attn_config": 1_320_444,
    "own_top_bert_layer": 7_087_872,
    "own_lhuc": 9_216,
}
"""Configuration to the parameters that a task adds to a base model, to the unit."""

EVERY_LAYER = tuple(range(12))


def count(reference, adapters, layers=EVERY_LAYER) -> int:
    """Parameters that a list of adapters adds to a base model for one task."""
    shape, total = reference.spec("encoder", "bert").shape(BertConfig(size="base")), 0
    for name, options in adapters:
        spec = reference.spec("adapter", name)
        config = spec.config.model_validate_json(json.dumps(options))
        assert spec.check(config, shape, layers) == ()
        total += spec.num_parameters(config, shape, layers)
    return total


def test_parameter_counts_of_the_published_configurations(reference, golden_case) -> None:
    counts = golden_case("02_parameter_counts").info["counts"]
    assert counts.keys() == PUBLISHED.keys()
    base = counts["own_none"]["bert_parameters"]
    for name, adapters in PUBLISHED.items():
        added = count(reference, adapters)
        assert 8 * added == counts[name]["bert_parameters"] - base, name
        assert added == PER_TASK.get(name, added), name


def test_projected_attention_in_half_of_the_layers(reference) -> None:
    assert 8 * count(reference, [("pals", {})]) == 14_558_688
    assert 8 * count(reference, [("pals", {})], tuple(range(6, 12))) == 8_536_608


def test_parameter_count_of_the_heads(reference, golden_case) -> None:
    counts = golden_case("02_parameter_counts").info["counts"]["own_none"]
    shape = reference.spec("encoder", "bert").shape(BertConfig(size="base"))
    head = reference.spec("head", "classification")
    labels = (2, 2, 3, 2, 1, 2, 2, 2)
    total = sum(head.num_parameters(head.config(), shape, n) for n in labels)
    assert total == counts["classifier_parameters"] == 12_304


def test_switches_that_fail_in_the_original_or_do_nothing(reference, golden_case, tmp_path) -> None:
    """Refused if Bert-n-Pals cannot build or run it; else as large as there."""
    shared = {
        name.replace("classifier.2", "classifier.1"): tensor
        for name, tensor in reference.weights(golden_case("02_multitask_none").tensors).items()
        if not name.startswith("classifier.1")
    }
    for place, result in enumerate(golden_case("02_failing_combinations").info["results"]):
        values, name = result["config"], result["combination"]
        tensors = shared | made_up(values)
        folder = reference.write_folder(tmp_path / str(place), values, tensors, file=FILES[0])
        labels = {"cola": 2, "mnli": 3}
        if result["result"] == "works":
            loaded = reference.Loaded(
                "bert_n_pals", folder, tasks=("cola", "mnli"), num_labels=labels
            )
            found = sum(p.numel() for p in loaded.model.parameters())
            assert found == result["num_parameters"], name
            assert set(loaded.report.used) == set(tensors), name
        elif values["hidden_size"] % values["num_attention_heads"]:
            options = reference.describe("bert_n_pals", folder).encoder
            about, config = reference.spec("encoder", "bert"), reference.config("encoder", options)
            assert [each.path for each in about.check(config)] == ["num_attention_heads"]
        else:
            with pytest.raises(CheckpointError, match=r"Bert-n-Pals cannot (build|run)"):
                reference.describe("bert_n_pals", folder)


def made_up(values) -> dict[str, torch.Tensor]:
    """Zeros for the adapters of two tasks, named and shaped as the original does."""
    width, size, made = values["hidden_size"], values["hidden_size_aug"], {}

    def dense(name: str, rows: int, columns: int) -> None:
        made[f"{name}.weight"], made[f"{name}.bias"] = torch.zeros(rows, columns), torch.zeros(rows)

    on = {key for key, value in values.items() if value is True}
    for task, layer in itertools.product(range(2), range(values["num_hidden_layers"])):
        here, places = f"bert.encoder.layer.{layer}", []
        if "houlsby" in on:
            places = [f"{here}.attention.output", f"{here}.output"]
        elif "mult" in on:
            places = [here]
        for place in places:
            dense(f"{place}.multi_layers.{task}.aug_dense", size, width)
            dense(f"{place}.multi_layers.{task}.aug_dense2", width, size)
        if "pals" in on and places:
            dense(f"{places[-1]}.multi_layers.{task}.attn.query", size // 6 * 6, size)
        if "top" in on:
            dense(f"bert.encoder.mult_dense.{task}", size, width)
    return made
