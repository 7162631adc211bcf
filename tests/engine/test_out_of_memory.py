"""Too little memory ends a run with its rows and what would fit, and the run can go on."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim import SGD

from bertmod.engine.out_of_memory import (
    OutOfMemory,
    evaluation_options,
    is_out_of_memory,
    step_options,
)
from bertmod.engine.run_folder import RunFolder

MORE_STEPS = (
    "training.gradient_accumulation_steps 2: micro-batches of 4 rows, the same step up to rounding "
    "and dropout"
)
CHECKPOINTING = "training.activation_checkpointing true: the same steps, about a third more time"
BF16 = 'training.precision "bf16": activations of half the size'
OFFLOAD = 'training.offload "cpu": the same steps, the optimizer in host memory'
FSDP = 'training.parallel "fsdp" with --nproc N: each GPU has a part of the model'
SHORTER = "a smaller data.max_length: longer rows are cut"
FREEZE = 'freeze "encoder", with adapters: no gradients and optimizer state for it'

WIDE = {
    "encoder": {
        "name": "bert",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 512,
    },
    "tasks": [{"name": "rte"}],
    "adapters": [],
    "training": {
        "num_epochs": 1,
        "steps_per_epoch": 4,
        "global_batch_size": 450,
        "precision": "fp32",
        "device": "cpu",
        "fast": False,  # oneDNN may crash where a limit leaves it no memory for its code
    },
    "evaluation": {"every_steps": 4, "batch_size": 16},
    "saving": {"every_steps": 2},
}
ROOM = 40
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")


def use_of(toy, **settings):
    """What a toy trainer tells of its memory, with settings that need not be this machine's."""
    trainer = toy.trainer()
    for name, value in settings.items():
        object.__setattr__(trainer.settings, name, value)
    return trainer._memory


def test_errors_of_every_allocator_are_known() -> None:
    errors = []
    for allocate in (lambda: torch.empty(10**14), lambda: np.empty(10**14)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            allocate()
        errors.append(caught.value)
    errors.append(torch.OutOfMemoryError("CUDA out of memory."))
    errors.append(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8"))
    assert [is_out_of_memory(error) for error in errors] == [True] * 4
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("not enough memory"))


def test_what_a_step_is_told_to_use_less(toy) -> None:
    """The cheapest first, and nothing that is in use or does not help."""
    assert step_options(use_of(toy)) == ([MORE_STEPS, CHECKPOINTING], [BF16, SHORTER, FREEZE])
    gpu = use_of(toy, device="cuda:0")
    assert step_options(gpu)[0] == [MORE_STEPS, CHECKPOINTING, OFFLOAD, FSDP]
    assert step_options(gpu, updating=True) == ([OFFLOAD, FSDP], [FREEZE])
    used = {
        "device": "cuda:0",
        "precision": "bf16",
        "offload": "cpu",
        "parallel": "fsdp",
        "activation_checkpointing": True,
        "gradient_accumulation_steps": 8,
    }
    everything = use_of(toy, **used)
    assert step_options(everything) == ([], [SHORTER, FREEZE])
    everything.model.encoder.requires_grad_(False)
    assert step_options(everything) == ([], [SHORTER])


def test_the_next_number_that_cuts_every_batch(toy) -> None:
    def told(processes: int = 1, sizes=(12, 18), before: int = 1) -> str | None:
        tasks = [
            toy.task(task, batch_size=size)
            for task, size in zip(("flag", "size"), sizes, strict=True)
        ]
        trainer = toy.trainer(tasks=tasks, global_batch_size=12, gradient_accumulation_steps=before)
        use = type(trainer._memory)(trainer.model, tasks, trainer.settings, processes)
        first = step_options(use)[0][0]
        return first.partition(":")[0] if "accumulation" in first else None

    name = "training.gradient_accumulation_steps"
    assert told() == f"{name} 2"
    assert told(before=2) == f"{name} 3"
    assert told(before=3) == f"{name} 6"
    assert told(before=6) is None
    assert told(2) == f"{name} 3"
    assert told(sizes=(12, 1)) is None


def test_an_evaluation_is_told_a_smaller_batch(toy) -> None:
    smaller = "evaluation.batch_size 32: the same scores"
    assert evaluation_options(use_of(toy)) == ([smaller], [BF16, SHORTER])
    assert evaluation_options(use_of(toy, precision="bf16", evaluation_batch_size=1)) == (
        [],
        [SHORTER],
    )


class Failing(SGD):
    """An optimizer whose step does something else."""

    def __init__(self, groups, act) -> None:
        super().__init__([{"params": [p for _, p in group.parameters]} for group in groups])
        self.act = act

    def step(self, closure=None):
        self.act()


def odd() -> None:
    raise RuntimeError("odd")


def test_an_update_without_memory(toy) -> None:
    """It is told apart from the rows, of which fewer would not help."""
    trainer = toy.trainer(optimizer=lambda groups: Failing(groups, lambda: torch.empty(10**14)))
    with pytest.raises(OutOfMemory) as caught:
        trainer.train_step()
    assert str(caught.value).splitlines() == [
        "out of memory in step 1, task flag: the optimizer's update",
        "  no room for 381,469,726.6 MiB more on cpu",
        "  what takes less:",
        f"    {FREEZE}",
    ], "nothing is kept where there is no run folder, as in a plan"
    assert isinstance(caught.value.__cause__, RuntimeError)


class Hungry:
    """Writes no state: there is no memory for it."""

    def encoder_hash(self) -> str:
        raise MemoryError


def test_a_state_that_cannot_be_kept(toy, tmp_path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        trainer = toy.trainer(folder=folder, writer=Hungry())
        with pytest.raises(OutOfMemory) as caught:
            trainer.fit()
    assert str(caught.value).splitlines() == [
        "out of memory after step 6, where the state of the run is kept",
        "  no memory left on cpu; the checkpoints of earlier steps are kept",
        "  what takes less, in a new run:",
        f"    {FREEZE}",
        "  bertmod plan says beforehand what a recipe takes",
    ]


def test_other_errors_stay_what_they_are(toy) -> None:
    trainer = toy.trainer(optimizer=lambda groups: Failing(groups, odd))
    with pytest.raises(RuntimeError, match=r"^odd$"):
        trainer.train_step()


@linux
@pytest.mark.slow
def test_a_run_without_memory_goes_on_with_the_advice(
    program, write_recipe, tmp_path, run_files
) -> None:
    recipe = write_recipe(tmp_path, **WIDE)
    words = ("run", recipe, "--output", tmp_path / "run", "--quiet")
    assert program(*words, term_at_step=2).status == 130
    ended = program(*words, "--resume", room=(3, ROOM))
    assert (ended.status, ended.out) == (1, "")
    lines = ended.err.splitlines()
    assert re.fullmatch(
        r"error: out of memory in step 3, task rte: a micro-batch of 450 rows, the longest of 2\d "
        "tokens",
        lines[0],
    )
    assert lines[1].startswith("  no room for ")
    assert lines[1].endswith(
        " MiB more on cpu; the step was not finished, and the checkpoints of earlier steps are kept"
    )
    assert lines[2:] == [
        "  what takes less, and this run can go on with (--resume):",
        f"    {MORE_STEPS.replace('of 4', 'of 225')}",
        f"    {CHECKPOINTING}",
        "  what takes less, in a new run:",
        f"    {BF16}",
        f"    {SHORTER}",
        f"    {FREEZE}",
        "  bertmod plan says beforehand what a recipe takes",
    ]
    names = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert names == ["step-00000002"]
    more = ("--set", "training.gradient_accumulation_steps=15")
    ended = program(*words, "--resume", *more, room=(3, ROOM))
    assert ended.status == 0, ended.err
    assert [row["step"] for row in run_files.rows(tmp_path / "run", "step")] == [1, 2, 3, 4]
    kept = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert kept["training"]["gradient_accumulation_steps"] == 15


@linux
@pytest.mark.slow
def test_an_evaluation_without_memory_goes_on_with_smaller_batches(
    program, write_recipe, tmp_path: Path
) -> None:
    wide = {**WIDE, "training": {**WIDE["training"], "global_batch_size": 4}}
    recipe = write_recipe(tmp_path, **wide | {"evaluation": {"every_steps": 4, "batch_size": 2000}})
    words = ("run", recipe, "--output", tmp_path / "run", "--quiet")
    ended = program(*words, room=(4, 8))
    assert ended.status == 1
    lines = ended.err.splitlines()
    assert lines[0] == (
        "error: out of memory in the evaluation after step 4: batches of 2,000 rows, the longest "
        "of 24 tokens"
    )
    assert lines[2:] == [
        "  what takes less, and this run can go on with (--resume):",
        "    evaluation.batch_size 1000: the same scores",
        "  what takes less, in a new run:",
        f"    {BF16}",
        f"    {SHORTER}",
        "  bertmod plan says beforehand what a recipe takes",
    ]
    ended = program(*words, "--resume", "--set", "evaluation.batch_size=8", room=(3, 64))
    assert ended.status == 0, ended.err


@linux
@pytest.mark.slow
def test_one_of_two_processes_without_memory_ends_both(program, write_recipe, tmp_path) -> None:
    recipe = write_recipe(tmp_path, **WIDE)
    words = ("run", recipe, "--output", tmp_path / "run", "--quiet")
    ended = program(*words, processes=2, struck_rank=1, room=(1, ROOM // 4))
    assert (ended.status, ended.others) == (1, (1,))
    assert re.match(
        r"error: out of memory in step 1, task rte: a micro-batch of 450 rows, the longest of 2\d "
        r"tokens, shared by 2 processes\n",
        ended.others_err[0],
    )
    assert ended.err.startswith("error: another process of this run ended or does not answer")
