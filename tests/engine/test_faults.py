"""A run that was struck in any way, in any mode, ends as one that nothing struck.

Every case is a mode of training, a fault and a seed that says where the fault strikes. A run is
struck, resumed, and compared with an uninterrupted one bit for bit: weights, optimizer state,
counters, bests, scores, predictions, rows of metrics. A fault that came too late to strike is
drawn again and not counted.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bertmod.sample import sample_folder

pytestmark = pytest.mark.slow

LOST = "error: another process of this run ended or does not answer: "
DRAWS = 12
"""How often a fault that does not strike is drawn again."""


@dataclass(frozen=True)
class Mode:
    """A way of training.

    Attributes:
        recipe: What its recipe has beside the common one.
        processes: How many make the run together.
        unlike: What is otherwise than a user can have it: ``UNLIKE`` of ``forking_server.py``.
    """

    recipe: dict[str, Any] = field(default_factory=dict)
    processes: int = 1
    unlike: tuple[str, ...] = ()

    @classmethod
    def of(cls, *, processes: int = 1, unlike: tuple[str, ...] = (), **training: Any) -> Mode:
        """A mode that differs in ``training`` alone."""
        return cls({"training": training}, processes, unlike)


MODES = {
    "plain": Mode(),
    "accumulation": Mode.of(gradient_accumulation_steps=4),
    "fp16": Mode.of(precision="fp16", unlike=("scale that grows soon",)),
    "offload": Mode.of(offload="cpu", unlike=("host copies",)),
    "ema": Mode.of(ema=0.9),
    "early stop": Mode({"sampler": {"name": "sqrt"}, "evaluation": {"patience": 2}}),
    "own clock": Mode({"optimizer": {"idle": "own_clock"}}),
    "checkpointing": Mode.of(activation_checkpointing=True),
    "ddp": Mode.of(processes=2, gradient_accumulation_steps=2),
    "fsdp": Mode.of(processes=2, parallel="fsdp"),
}


@dataclass(frozen=True)
class Course:
    """An uninterrupted run, and what there is of it to be struck.

    Attributes:
        mode: How it trains.
        recipe: Its recipe file.
        run: Its folder.
        num_changes: Changes of files in that folder.
        num_backward_passes: Backward passes, those of retried steps too.
    """

    mode: Mode
    recipe: Path
    run: Path
    num_changes: int
    num_backward_passes: int


class Attempt:
    """A run that is to be struck.

    Args:
        program: Runs the program.
        course: The run as it is without a fault.
        run: Its folder.
        draw: Where the fault strikes.
    """

    def __init__(self, program: Any, course: Course, run: Path, draw: random.Random) -> None:
        self.program, self.course, self.run, self.draw = program, course, run, draw
        self.warning = ""

    def go(self, **blow: Any) -> Any:
        """Begin the run, or go on with it if it has begun, and strike."""
        words = ["--resume"] if (self.run / "recipe.json").exists() else []
        words = ["run", self.course.recipe, "--output", self.run, "--quiet", *words]
        mode = self.course.mode
        return self.program(*words, processes=mode.processes, unlike=mode.unlike, **blow)

    def kill(self, *, rank: int = 0, **blow: Any) -> bool:
        """Whether a kill struck; the other processes then end by themselves and say why."""
        ended = self.go(struck_rank=rank, **blow)
        statuses, said = [ended.status, *ended.others], [ended.err, *ended.others_err]
        if statuses[rank] != -9:
            assert set(statuses) == {0}, said
            return False
        for other in range(self.course.mode.processes):
            if other != rank and statuses[other] != 0:  # it may have had nothing left to share
                assert statuses[other] == 1
                assert said[other].startswith(LOST)
                assert "Traceback" not in said[other]
        return True

    def any_change(self, *, first: float = 0.0, last: float = 1.0) -> int:
        """A change of a file, from 1, in this part of the run."""
        return 1 + int(self.course.num_changes * self.draw.uniform(first, last))

    def any_rank(self) -> int:
        return self.draw.randrange(self.course.mode.processes)

    def finish(self) -> None:
        """Go on to the end."""
        ended = self.go()
        assert ended.status == 0, ended.err
        assert self.warning in ended.err
        assert all(status == 0 for status in ended.others), ended.others_err


def kill_at_a_file(attempt: Attempt) -> int:
    """Before a change of a file: while a checkpoint or a best state is written, mostly."""
    return attempt.kill(kill_at=attempt.any_change(first=0.4, last=0.9))


def kill_in_the_set_up(attempt: Attempt) -> int:
    return attempt.kill(kill_at=attempt.any_change(last=0.04))


def kill_at_the_end(attempt: Attempt) -> int:
    """While the last checkpoint, the final state or predictions are written."""
    return attempt.kill(kill_at=attempt.any_change(first=0.9))


def kill_in_a_step(attempt: Attempt) -> int:
    """Before a backward pass: between micro-batches, or between two tries of a step."""
    place = 1 + attempt.draw.randrange(attempt.course.num_backward_passes)
    return attempt.kill(kill_at_backward=place, rank=attempt.any_rank())


def kill_by_the_clock(attempt: Attempt) -> int:
    return attempt.kill(kill_after=attempt.draw.uniform(0, 0.3), rank=attempt.any_rank())


def kill_twice(attempt: Attempt) -> int:
    """The second time while the run goes on."""
    first = attempt.kill(kill_at=attempt.any_change(first=0.2, last=0.6))
    return 2 * (first and attempt.kill(kill_at=attempt.any_change(last=0.3)))


def kill_and_damage(attempt: Attempt) -> int:
    """The newest of at least two checkpoints is then spoilt, and the one before is used."""
    if not attempt.kill(kill_at=attempt.any_change(first=0.3)):
        return 0
    saved = sorted((attempt.run / "checkpoints").glob("step-*"))
    if len(saved) < 2:
        return 0
    files = sorted(path for path in saved[-1].rglob("*") if path.is_file())
    damage(attempt.draw.choice(files), attempt.draw)
    attempt.warning = f"WARNING: {saved[-1]}"
    return 1


def damage(path: Path, draw: random.Random) -> None:
    """Cut a file, or flip one of its bits."""
    content = bytearray(path.read_bytes())
    place = draw.randrange(len(content))
    if draw.random() < 0.3:
        path.write_bytes(content[:place])
        return
    content[place] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def stop(attempt: Attempt) -> int:
    """By SIGTERM to any process."""
    step = attempt.draw.randrange(1, 24)
    ended = attempt.go(term_at_step=step, struck_rank=attempt.any_rank())
    assert {ended.status, *ended.others} <= {0, 130}, ended.err
    if ended.status == 0:
        return 0
    assert ended.err.endswith(f"stopped by SIGTERM after step {step}; go on with --resume\n")
    return 1


def fill_the_disk(attempt: Attempt) -> int:
    ended = attempt.go(kill_at=attempt.any_change(), instead="full disk")
    (attempt.run.parent / "filler").unlink(missing_ok=True)
    return stopped_by(ended, "No space left on device")


def lock_a_folder(attempt: Attempt) -> int:
    """It becomes read-only; one in the run folder once training has begun."""
    name = attempt.draw.choice([".", "best", "checkpoints"])
    folder, place = attempt.run / name, attempt.any_change(first=0.02 if name == "." else 0.1)
    try:
        ended = attempt.go(kill_at=place, instead=name)
    finally:
        unlock(folder)
    reason = "Permission denied" if os.getuid() else "Read-only file system"
    return stopped_by(ended, reason)


def unlock(folder: Path) -> None:
    folder.chmod(0o700) if os.getuid() else subprocess.run(["umount", folder], check=False)


def stopped_by(ended: Any, reason: str) -> bool:
    """Whether a run could not write, for this reason, and said so; else it ended well."""
    if ended.status == 0:
        return False
    assert ended.status in (1, 2)
    assert reason in ended.err
    assert all(reason in said or said.startswith(LOST) for said in ended.others_err)
    assert not any("Traceback" in said for said in (ended.err, *ended.others_err))
    return True


FAULTS: dict[str, Callable[[Attempt], int]] = {
    "set-up": kill_in_the_set_up,
    "file": kill_at_a_file,
    "end": kill_at_the_end,
    "step": kill_in_a_step,
    "clock": kill_by_the_clock,
    "twice": kill_twice,
    "damage": kill_and_damage,
    "stop": stop,
    "full disk": fill_the_disk,
    "read-only": lock_a_folder,
}
KILLS = ("set-up", "file", "end", "step", "clock", "twice", "damage")
ON_A_SMALL_DISK = ("full disk", "read-only")

ALWAYS = {
    "plain": "file",
    "accumulation": "step",
    "fp16": "stop",
    "offload": "end",
    "ema": "full disk",
    "early stop": "damage",
    "own clock": "read-only",
    "checkpointing": "set-up",
    "ddp": "clock",
    "fsdp": "twice",
}
"""The ten that the ordinary suite has: every mode and every fault. ``make faults`` runs all."""

OFTEN = {(mode, "step") for mode in ("accumulation", "fp16", "ddp", "fsdp")}
SELDOM = {(mode, "set-up") for mode in ("accumulation", "fp16", "offload", "ema", "own clock")}


def cases() -> Iterator[Any]:
    """Every fault in every mode; one that is the mode's own matter twice, few in the set-up."""
    for mode in MODES:
        for fault in FAULTS:
            often, seldom = (mode, fault) in OFTEN, (mode, fault) in SELDOM
            for seed in range(1 + often - seldom):
                always = ALWAYS[mode] == fault and seed == 0
                marks = () if always else (pytest.mark.faults,)
                yield pytest.param(mode, fault, seed, id=f"{mode}-{fault}-{seed}", marks=marks)


CASES = list(cases())


@pytest.fixture(scope="module")
def data(program, tmp_path_factory) -> Path:
    """Two of the sample's tasks, with so few rows that passes end in batches of 3 and of 1."""
    sample = sample_folder(Path(program.environment["XDG_CACHE_HOME"]) / "bertmod")
    folder = tmp_path_factory.mktemp("data")
    shutil.copy(sample / "vocab.txt", folder)
    for task, train, dev in (("RTE", 27, 40), ("STS-B", 25, 30)):
        (folder / task).mkdir()
        for split, count in (("train", train), ("dev", dev)):
            lines = (sample / task / f"{split}.tsv").read_text().splitlines(keepends=True)
            (folder / task / f"{split}.tsv").write_text("".join(lines[: 1 + count]))
    return folder


@pytest.fixture(scope="module")
def course_of(program, data, write_recipe, tmp_path_factory) -> Callable[[str], Course]:
    """Makes the uninterrupted run of a mode, once."""
    made: dict[str, Course] = {}

    def make(name: str) -> Course:
        mode, folder = MODES[name], tmp_path_factory.mktemp("whole")
        changes = {"sampler": {"name": "listener"}} | mode.recipe
        changes["data"] = {"dir": str(data)}
        changes["tokenizer"] = {"name": "wordpiece", "vocab": str(data / "vocab.txt")}
        changes["training"] = {"global_batch_size": 8} | changes.get("training", {})
        recipe, run = write_recipe(folder, **changes), folder / "run"
        words = ("run", recipe, "--output", run, "--quiet")
        ended = program(*words, processes=mode.processes, unlike=mode.unlike, kill_at=0)
        assert ended.status == 0, ended.err
        return Course(mode, recipe, run, program.changes, program.backward_passes)

    def course(name: str) -> Course:
        if name not in made:
            made[name] = make(name)
        return made[name]

    return course


@pytest.fixture(scope="module")
def tally(request) -> Iterator[Counter[str]]:
    """Faults that struck, by name; told when all are over."""
    found: Counter[str] = Counter()
    yield found
    kills = sum(found[fault] for fault in KILLS)
    each = ", ".join(f"{fault} {found[fault]}" for fault in FAULTS)
    with request.config.pluginmanager.get_plugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{sum(found.values())} faults struck, {kills} of them SIGKILLs ({each})")


@pytest.mark.parametrize(("mode", "fault", "seed"), CASES)
def test_a_struck_run_ends_as_one_that_was_not(
    program, course_of, run_files, tally, request, tmp_path, mode, fault, seed
) -> None:
    course, place = course_of(mode), tmp_path
    if fault in ON_A_SMALL_DISK and (fault == "full disk" or os.getuid() == 0):
        place = request.getfixturevalue("disk")("16m")
    draw = random.Random(f"{mode} {fault} {seed}")
    for number in range(DRAWS):
        attempt = Attempt(program, course, place / f"run-{number}", draw)
        if struck := FAULTS[fault](attempt):
            attempt.finish()
            run_files.assert_same(attempt.run, course.run)
            tally[fault] += struck
            return
        shutil.rmtree(attempt.run)
    pytest.fail(f"none of {DRAWS} draws struck")


def test_the_ordinary_suite_has_every_mode_and_every_fault() -> None:
    assert ALWAYS.keys() == MODES.keys()
    assert set(ALWAYS.values()) == FAULTS.keys()


def test_the_modes_are_what_they_are_called(course_of, run_files) -> None:
    """The scale of fp16 grows and is halved all along, and a task is stopped on the way."""
    rows = run_files.rows(course_of("fp16").run, "step")
    retries = [row["retries"] for row in rows]
    assert all(sum(retries[start : start + 6]) >= 1 for start in range(0, 24, 6)), retries
    assert course_of("fp16").num_backward_passes == 24 + sum(retries)
    passes = course_of("accumulation").num_backward_passes
    assert 24 < passes < 24 * 4, "all batches are whole"
    assert len(run_files.rows(course_of("early stop").run, "step")) < 24
