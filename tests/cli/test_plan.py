"""``bertmod plan``: what a run would do, without a run folder."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np

from bertmod.builtin.tokenizers.plugin import WordPieceConfig, build
from bertmod.planning.memory import Memory
from bertmod.planning.plan import Plan, render_plan


def plan_of(result) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """Lines above the table, cells by task, lines below it."""
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    table = [re.split(r"  +", line) for line in lines[5:-3]]
    return lines[:4], {row[0]: row[1:] for row in table}, lines[-3:]


def test_a_plan(bertmod, recipe, sample, tmp_path) -> None:
    name = recipe(
        tasks=[{"name": "cola"}, {"name": "rte"}],
        sampler={"name": "proportional"},
        training={"num_epochs": 3, "steps_per_epoch": 4, "device": "cpu", "precision": "fp32"},
    )
    result = bertmod("plan", name)
    above, tasks, below = plan_of(result)
    checked = bertmod("check", name).stdout
    encoder, adapters = re.search(r"encoder (\S+) parameters, adapters (\S+): ", above[1]).groups()
    assert f" {encoder} parameters" in checked
    total = int(encoder.replace(",", "")) + int(adapters.replace(",", ""))
    heads = 2 * (2 * 32 + 2)
    assert above == [
        "tiny.json",
        f"encoder {encoder} parameters, adapters {adapters}: "
        f"{total / int(encoder.replace(',', '')):.4f} times the encoder",
        f"trained: encoder {encoder} of {encoder}, adapters {adapters} of {adapters}, "
        f"heads {heads} of {heads}",
        "12 steps, 4 an epoch, fp32 on cpu",
    ]
    cola, rte = tasks["cola"], tasks["rte"]
    own = int(adapters.replace(",", "")) // 2 + 2 * 32 + 2
    assert cola[:2] == ["2,800", f"{own:,}"]
    assert rte[:2] == ["1,800", f"{own:,}"]
    assert cola[2] == f"{12 * 2800 / 4600:.0f}"
    assert rte[2] == f"{12 * 1800 / 4600:.0f}"
    assert re.fullmatch(
        r"peak memory of the process, predicted: [\d,]+ MiB, in "
        r"(one of its first steps|an evaluation of \w+ with 256 rows of up to \d+ tokens)",
        below[0],
    )
    assert re.fullmatch(
        r"  libraries [\d,]+ MiB, weights [\d,]+ MiB, gradients [\d,]+ MiB, optimizer [\d,]+ MiB, "
        r"activations, buffers and data [\d,]+ MiB",
        below[1],
    )
    assert re.fullmatch(
        r"time, measured over 9 steps: \d+\.\d{3} s a step, 0\.00 hours of training in all",
        below[2],
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.json"], "no run folder"


def test_rows_that_a_small_length_would_cut(here, recipe, sample) -> None:
    name = recipe(tasks=[{"name": "rte", "max_length": 16}], data={"max_length": 32})
    _, tasks, _ = plan_of(here("plan", name))
    tokenizer = build(WordPieceConfig(vocab=str(sample / "vocab.txt")))
    rows = [line.split("\t") for line in (sample / "RTE/train.tsv").read_text().splitlines()[1:]]
    first, second = (tokenizer.texts([row[place] for row in rows]) for place in (1, 2))
    cut = int(np.sum(tokenizer.rows(first, second, max_length=16).truncated))
    assert 0 < cut < len(rows)
    assert tasks["rte"][3:] == [f"{cut:,} ({cut / len(rows):.1%})", "16"]


def test_windows_are_not_cut(here, recipe, tmp_path) -> None:
    answer = {"text": "cat", "answer_start": 4}
    paragraph = {
        "context": "The cat sat on the mat. " * 20,
        "qas": [{"id": "q", "question": "Who sat?", "answers": [answer]}],
    }
    text = json.dumps({"version": "1.1", "data": [{"title": "x", "paragraphs": [paragraph]}]})
    (tmp_path / "data").mkdir()
    for split in ("train", "dev"):
        (tmp_path / f"data/{split}-v1.1.json").write_text(text)
    squad = {"name": "squad", "max_query_length": 8, "doc_stride": 16, "max_length": 32}
    _, tasks, _ = plan_of(here("plan", recipe(tasks=[squad]), "--data", "data"))
    assert int(tasks["squad"][0]) > 5, "windows"
    assert tasks["squad"][3:] == ["0 (0.0%)", "32"]


def test_what_is_frozen_is_not_among_the_trained(here, recipe) -> None:
    plan = here("plan", recipe(tasks=[{"name": "rte"}], freeze="encoder", adapters=[]))
    above, _, below = plan_of(plan)
    encoder = re.search(r"encoder (\S+) parameters", above[1])[1]
    assert above[2] == f"trained: encoder 0 of {encoder}, no adapters, heads 66 of 66"
    assert "gradients 0 MiB, optimizer 0 MiB" in below[1]
    norms = 32 * 2 * (1 + 2 * 2)
    plan = here("plan", recipe(freeze="encoder_except_layer_norm"))
    above, _, _ = plan_of(plan)
    assert above[2].startswith(f"trained: encoder {norms} of {encoder}, adapters")


def test_a_run_of_one_step_can_be_planned(here, recipe) -> None:
    name = recipe(training={"num_epochs": 1, "steps_per_epoch": 1, "device": "cpu"})
    _, _, below = plan_of(here("plan", name))
    assert below[2].startswith("time, measured over 1 step: ")


def test_malformed_rows_are_told_once(here, recipe, cola, tmp_path) -> None:
    file = cola / "CoLA/train.tsv"
    file.write_text(file.read_text() + "x\t1\tshort\n")
    result = here("plan", recipe(), "--data", "data")
    assert (result.returncode, result.stderr) == (
        0,
        f"WARNING: {file}: left out 1 malformed row of 41\n  line 41: 3 columns, not 4\n",
    )


def test_a_paper_recipe_asks_for_data_and_checkpoint(here) -> None:
    result = here("plan", "paper/pals_anneal")
    assert (result.returncode, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert lines[0].endswith("recipes/paper/pals_anneal.json: 2 problems")
    assert lines[1:] == [
        "  data.dir",
        "      null: the recipe does not say where the data is",
        "      give --data FOLDER, or write the folder here",
        "  checkpoint.path",
        "      null: the recipe does not say where the checkpoint is",
        "      give --checkpoint PATH, or write the path here",
    ]


def test_fp16_and_an_offloaded_optimizer_are_told(here, recipe) -> None:
    training = {"device": "cpu", "steps_per_epoch": 2, "precision": "fp16", "offload": "cpu"}
    plain = here("plan", recipe(training={**training, "precision": "fp32", "offload": None}))
    for scale, told in (("dynamic", "dynamic"), (128, "128")):
        result = here("plan", recipe(training={**training, "loss_scale": scale}))
        assert result.returncode == 0, result.stderr
        slow, nothing = result.stderr.splitlines()
        assert slow.startswith("WARNING: fp16 is meant for GPUs")
        assert nothing.startswith('WARNING: offload "cpu" changes nothing here')
        lines = result.stdout.splitlines()
        assert lines[3].endswith(f"fp16 (loss scale {told}) on cpu")
        assert ", optimizer " in lines[-2], "what a CPU has is there as without offloading"
        assert "offload" not in result.stdout
    assert "offload" not in plain.stdout + plain.stderr


def test_an_offloaded_optimizer_is_in_the_memory_of_the_host() -> None:
    mib = 2**20
    plan = Plan(
        tasks=(),
        encoder_parameters=5 * mib,
        adapter_parameters=0,
        trained={"encoder": (4 * mib, 5 * mib), "adapters": (0, 0), "heads": (mib, mib)},
        total_steps=9,
        steps_per_epoch=3,
        precision="fp16",
        loss_scale=128.0,
        offload="cpu",
        device="cuda:0",
        processes=1,
        timed_steps=2,
        seconds_per_step=1.0,
        memory=Memory(
            peak=60 * mib,
            at="a step of rte with 32 rows",
            libraries=0,
            weights=24 * mib,
            gradients=20 * mib,
            optimizer=0,
            host=900 * mib,
        ),
    )
    lines = render_plan(plan).splitlines()
    assert lines[2] == (
        "9 steps, 3 an epoch, fp16 (loss scale 128) on cuda:0, optimizer offloaded to host memory"
    )
    assert lines[-4:-1] == [
        "peak memory on cuda:0, predicted: 60 MiB, in a step of rte with 32 rows",
        "  weights 24 MiB, gradients 20 MiB, activations, buffers and data 16 MiB",
        "peak memory of the process beside it, predicted: 900 MiB",
    ]
    compiled = render_plan(replace(plan, compiled=True)).splitlines()
    assert compiled[:-1] == lines
    assert compiled[-1].startswith("layers are compiled: after a resume the last bits may differ")


def test_several_processes_are_planned_by_one(here, recipe) -> None:
    """Each computes its part of the rows; under fsdp it has its part of the model too."""
    training = {"device": "cpu", "steps_per_epoch": 2, "precision": "fp32"}
    sizes = {}
    for parallel in ("auto", "fsdp"):
        name = recipe(training={**training, "parallel": parallel})
        wide = ("--set", "encoder.max_position_embeddings=65536")
        _, _, below = plan_of(here("plan", name, "--nproc", "2", *wide))
        assert re.match(r"peak memory of each of 2 processes, predicted: [\d,]+ MiB, in ", below[0])
        assert " without what the processes tell each other: " in below[2]
        sizes[parallel] = [
            int(size) for size in re.findall(r"(?:weights|optimizer) (\d+)", below[1])
        ]
    assert sizes["auto"] == [8, 16]
    assert sizes["fsdp"] == [4, 8]
    refused = here("plan", recipe(training={"global_batch_size": 3}), "--nproc", "2")
    assert refused.returncode == 2
    assert "3 cannot be shared evenly by 2 processes" in refused.stderr
