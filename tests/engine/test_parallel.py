"""Several processes that share every step make the same run as one."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import torch
from torch import distributed

from bertmod.assemble.agreement import require_same_files
from bertmod.engine import gradient_sums
from bertmod.engine.evaluate import EvaluationSettings, decode
from bertmod.engine.parallel import ALONE, LostProcessError, Ranks
from bertmod.errors import DataError

STEPS = 50
LINEAR = {
    "optimizer": "bert_adam",
    "schedule": "linear",
    "num_epochs": 1,
    "steps_per_epoch": STEPS,
    "learning_rate": 1e-3,
}


def made(toy, ranks, *, model=None, steps=STEPS, rows=42, dropout=0.0, **options):
    """What some steps of two tasks gave, then the parameters, the scores and the loss scale."""
    model = model or toy.model(dropout=dropout)
    tasks = [toy.task(task, count=rows, dev=25) for task in model.tasks]
    trainer = toy.trainer(model, tasks, ranks=ranks, **options)
    results = [trainer.train_step()[1] for _ in range(steps)]
    values = {name: value.numpy() for name, value in toy.values(trainer.model).items()}
    return results, values, trainer.evaluate().scores, trainer._scale.state_dict()


def assert_same_course(alone, shared, *, loss: float = 1e-6, weights: float = 1e-5) -> None:
    for name in ("loss", "grad_norm"):
        ours, theirs = ([getattr(each, name) for each in part[0]] for part in (shared, alone))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=loss, err_msg=name)
    for name in ("features", "tokens", "learning_rates"):
        assert [getattr(a, name) for a in shared[0]] == [getattr(b, name) for b in alone[0]]
    for name, value in alone[1].items():
        np.testing.assert_allclose(shared[1][name], value, rtol=0, atol=weights, err_msg=name)


@pytest.mark.parametrize(
    ("mode", "idle", "accumulation", "clip"),
    [
        ("ddp", "lazy", 1, "global"),
        ("ddp", "lazy", 2, "per_tensor"),
        ("ddp", "dense", 1, "per_tensor"),
        ("ddp", "dense", 2, "global"),
        ("ddp", "own_clock", 1, "global"),
        ("ddp", "own_clock", 2, "global"),
        ("fsdp", "lazy", 2, "global"),
        ("fsdp", "dense", 1, "per_tensor"),
        ("fsdp", "own_clock", 2, "global"),
    ],
)
def test_fifty_steps_of_two_processes_are_those_of_one(
    toy, in_processes, mode, idle, accumulation, clip
) -> None:
    """Two tasks with PALs, passes of five batches of 8 rows and a ragged one of 2."""
    options = {**LINEAR, "idle": idle, "gradient_accumulation_steps": accumulation, "clip": clip}
    alone = made(toy, ALONE, **options)
    first, second = in_processes(lambda ranks: made(toy, ranks, parallel=mode, **options))
    assert_same_course(alone, first)
    assert first[0] == second[0]
    assert first[2] == second[2]
    for name, value in first[1].items():
        assert np.array_equal(value, second[1][name]), name


@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_a_process_without_rows(toy, in_processes, mode) -> None:
    """Ragged batches of two rows for three processes; buckets of a few gradients."""
    alone = made(toy, ALONE, **LINEAR)

    def child(ranks):
        gradient_sums.BUCKET = 300
        return made(toy, ranks, parallel=mode, **LINEAR)

    shared = in_processes(child, 3)
    assert_same_course(alone, shared[0])
    for name, value in shared[0][1].items():
        assert np.array_equal(value, shared[2][1][name]), name


def with_layers_for_some(toy, ranks):
    """A model whose first head calls one of two layers: the even processes the first."""
    model = toy.model()
    head = model.head("flag")

    class Choosing(type(head)):
        def forward(self, output, batch):
            own = self.some[ranks.rank % 2](output.pooled_RH)
            return super().forward(replace(output, pooled_RH=output.pooled_RH + own), batch)

    torch.manual_seed(1)
    head.some = torch.nn.ModuleList(torch.nn.Linear(16, 16) for _ in range(2))
    head.__class__ = Choosing
    return model


def test_a_layer_that_one_process_alone_uses(toy, in_processes) -> None:
    """What it sends is added to nothing, not to the other's layer of the same size."""

    def child(ranks, mode):
        model = with_layers_for_some(toy, ranks)
        return made(toy, ranks, model=model, steps=8, parallel=mode, **LINEAR)

    ddp, fsdp = (
        in_processes(lambda ranks, mode=mode: child(ranks, mode)) for mode in ("ddp", "fsdp")
    )
    assert_same_course(ddp[0], fsdp[0])
    assert fsdp[0][0] == fsdp[1][0]
    first = with_layers_for_some(toy, ALONE).state_dict()
    for name in ("heads.flag.some.0.weight", "heads.flag.some.1.weight"):
        assert not np.array_equal(fsdp[0][1][name], first[name].numpy()), name


def test_offload_changes_nothing(toy, in_processes, host_copies) -> None:
    kinds = [
        in_processes(lambda ranks, kind=kind: made(toy, ranks, steps=8, offload=kind))[1]
        for kind in (None, "cpu")
    ]
    assert kinds[0][0] == kinds[1][0]
    for name, value in kinds[0][1].items():
        assert np.array_equal(value, kinds[1][1][name]), name


def test_dropout_differs_between_processes_and_repeats(toy, in_processes) -> None:
    runs = [in_processes(lambda ranks: made(toy, ranks, steps=4, dropout=0.5))[0] for _ in range(2)]
    assert runs[0][0] == runs[1][0]
    twice = in_processes(
        lambda ranks: made(toy, ranks, steps=4, dropout=0.5, global_batch_size=4)[0][0].loss
    )
    alone = made(toy, ALONE, steps=4, dropout=0.5, global_batch_size=4)[0][0].loss
    assert twice[0] == twice[1] != alone


def test_an_overflow_in_one_process_is_retried_by_all(toy, in_processes) -> None:
    """The second process finds infinities in its third step; both halve the scale there."""

    def child(ranks):
        calls = iter(range(100))
        original = Ranks.start_sum

        def overflows(self, bucket):
            if next(calls) == 2 and self.rank == 1:
                bucket[0] = float("inf")
            return original(self, bucket)

        Ranks.start_sum = overflows
        return made(toy, ranks, steps=5, precision="fp16")

    first, second = in_processes(child)
    assert [result.retries for result in first[0]] == [0, 0, 1, 0, 0]
    assert [result.loss_scale for result in first[0]] == [65536, 65536, 32768, 32768, 32768]
    assert first[0] == second[0]
    assert first[3] == second[3]
    for name, value in first[1].items():
        assert np.array_equal(value, second[1][name]), name


def read_in_decoding(model):
    """Let a head's parameters have a part in its answers, as transitions between labels have."""
    head = model.head("flag")

    class Reading(type(head)):
        def decode(self, output, batch):
            moved = output.logits["logits"] + self.classifier.weight[:, 0]
            return super().decode(replace(output, logits={"logits": moved}), batch)

    head.__class__ = Reading
    return model


@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_answers_are_those_of_one_process_to_the_last_digit(toy, in_processes, mode) -> None:
    features = toy.features("flag", 29)
    settings = EvaluationSettings(batch_size=4)

    def answers(ranks):
        parallel = mode if ranks.size > 1 else "single"
        model = toy.trainer(read_in_decoding(toy.model()), ranks=ranks, parallel=parallel).model
        model.train()
        given = decode(model, "flag", features, settings=settings, ranks=ranks)
        assert model.training
        return [arrays["probabilities"] for arrays in given]

    alone = answers(ALONE)
    for size in (2, 3):
        first, *others = in_processes(answers, size)
        assert np.array_equal(np.stack(first), np.stack(alone))
        assert others == [[]] * (size - 1)


@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_more_processes_than_batches(toy, in_processes, mode) -> None:
    features = toy.features("size", 3)
    nothing = features.take(np.array([], dtype=np.int64))

    def answers(ranks):
        model = toy.trainer(ranks=ranks, parallel=mode).model
        return [
            len(decode(model, "size", each, settings=EvaluationSettings(), ranks=ranks))
            for each in (features, nothing)
        ]

    assert in_processes(answers) == [[3, 0], [0, 0]]


@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_every_process_gets_scores_and_calibrations(toy, in_processes, mode) -> None:
    def child(ranks):
        model = toy.model()
        tasks = [toy.task(task) for task in model.tasks]
        dev = tasks[0].dev["dev"]

        class Tuned(type(dev)):
            def calibrate(self, decoded, info):
                assert ranks.is_main
                return replace(info, calibration={"threshold": 0.25})

        split = Tuned(dev.features, dev.scorer)
        tasks[0] = replace(tasks[0], dev={"dev": split})
        trainer = toy.trainer(model, tasks, ranks=ranks, parallel=mode)
        evaluation = trainer.evaluate()
        calibration = trainer.model.head("flag").info.calibration
        return evaluation.scores, calibration, len(evaluation.answers)

    first, second = in_processes(child)
    assert first[:2] == second[:2]
    assert first[1] == {"threshold": 0.25}
    assert (first[2], second[2]) == (2, 0)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_every_row_is_in_one_share(size) -> None:
    lengths = np.random.default_rng(0).integers(3, 128, 29)
    shares = [Ranks(rank, size).share(lengths) for rank in range(size)]
    assert np.array_equal(np.sort(np.concatenate(shares)), np.arange(29))
    assert all(np.array_equal(share, np.sort(share)) for share in shares)
    counts = [len(share) for share in shares]
    assert max(counts) - min(counts) <= 1
    tokens = [lengths[share].sum() for share in shares]
    assert max(tokens) - min(tokens) <= 128


@pytest.mark.parametrize("mode", ["ddp", "fsdp"])
def test_the_model_is_the_main_process_s(toy, in_processes, mode) -> None:
    def child(ranks):
        trainer = toy.trainer(toy.model(seed=ranks.rank), ranks=ranks, parallel=mode)
        return {name: value.numpy() for name, value in toy.values(trainer.model).items()}

    first, second = in_processes(child)
    for name, value in first.items():
        assert np.array_equal(value, second[name]), name


def test_different_files_are_found(in_processes) -> None:
    def child(ranks):
        lock = {
            "data": {"/data/RTE/train.tsv": "a", "/data/RTE/dev.tsv": f"b{ranks.rank}"},
            "checkpoint": {"/bert/model.safetensors": "c"} if ranks.is_main else {},
            "bertmod": "1.0",
            "libraries": {"torch": "2.9"},
        }
        try:
            require_same_files(lock, ranks)
        except DataError as error:
            return str(error)
        return ""

    said = in_processes(child)
    assert said[0] == said[1]
    assert said[0] == (
        "process 1 does not have what process 0 has:\n"
        "  data file /data/RTE/dev.tsv\n"
        "  checkpoint file /bert/model.safetensors\n"
        "  give every machine the same files and the same versions"
    )


def test_tensors_of_every_kind_are_sent(in_processes) -> None:
    own = {
        "half": torch.arange(6, dtype=torch.bfloat16).view(2, 3).T,
        "count": torch.tensor(7),
        "none": torch.empty(0, 3),
        "flags": torch.tensor([True, False]),
    }

    def child(ranks):
        found = ranks.tensors_from_main(own if ranks.is_main else None)
        assert found.keys() == own.keys()
        return all(torch.equal(found[name], own[name]) for name in own)

    assert in_processes(child) == [True, True]


def test_sums_and_the_largest(in_processes) -> None:
    def child(ranks):
        sums = ranks.sums({"b": 1.0 + ranks.rank, "a": 1e-17})
        return list(sums.items()), ranks.largest(5 - ranks.rank), ranks.gathered(ranks.rank)

    assert in_processes(child) == [([("b", 3.0), ("a", 2e-17)], 5, [0, 1])] * 2


def test_others_wait_for_the_main_process_longer_than_for_a_message(in_processes) -> None:
    """Its first tokenization takes longer than anything else may."""
    heard, say = os.pipe()
    patience = timedelta(seconds=1)

    def child(ranks):
        distributed.distributed_c10d._set_pg_timeout(patience)  # all are here already
        with ranks.main_first():
            time.sleep(2 * patience.total_seconds() if ranks.is_main else 0.0)
        if ranks.is_main:
            os.read(heard, 1)
            return ""
        try:
            ranks.wait()
        except LostProcessError as error:
            os.write(say, b".")
            return str(error)
        return "it was waited for"

    assert in_processes(child)[1].startswith(
        "another process of this run ended or does not answer: "
    )


def test_who_waits_hears_at_once_that_the_main_process_ended(in_processes) -> None:
    def child(ranks):
        if ranks.is_main:
            with pytest.raises(ZeroDivisionError), ranks.main_first():
                raise ZeroDivisionError
            return ""
        try:
            with ranks.main_first():
                return "it went on"
        except LostProcessError as error:
            return str(error)

    assert in_processes(child)[1].startswith(
        "another process of this run ended or does not answer: "
    )


def test_an_error_of_this_process_s_own_is_not_another_s(in_processes) -> None:
    """A dtype that no message can have: torch says so in a plain RuntimeError."""

    def child(ranks):
        try:
            ranks.take_from_main([torch.zeros(2, dtype=torch.uint16)])
        except RuntimeError as error:
            return type(error).__name__, str(error)
        return "", ""

    for kind, said in in_processes(child):
        assert kind == "RuntimeError"
        assert "scalar type" in said
