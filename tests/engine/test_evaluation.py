"""What is scored is made once, and can be had afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from bertmod.engine.evaluate import ScoredFeatures
from bertmod.engine.interrupt import WHAT_FOLLOWS, Interrupted, StoppedAtOnce
from bertmod.engine.run_folder import RunFolder
from bertmod.engine.tasks import TrainingTask


@dataclass(frozen=True)
class Counted(ScoredFeatures):
    """A split that remembers the answers that it made."""

    made: list[Sequence[Any]] = field(default_factory=list)

    def answers(self, decoded, info):
        self.made.append(super().answers(decoded, info))
        return self.made[-1]


def test_the_last_answers_are_those_that_were_scored(toy) -> None:
    scored: list[Sequence[Any]] = []
    split = Counted(toy.features("flag", 8), lambda answers: scored.append(answers) or {"score": 0})
    task = TrainingTask("flag", toy.features("flag", 40), {"dev": split}, "dev/score")
    trainer = toy.trainer(toy.model(["flag"]), [task])
    trainer.fit()
    last = trainer.last_evaluation().answers["flag", "dev"]
    assert last is split.made[-1] is scored[-1]
    assert len(split.made) == len(scored) == trainer.settings.num_epochs


def test_a_signal_in_an_evaluation_stops_before_another_step(toy, tmp_path, capfd) -> None:
    """What will happen is said at once, which in an evaluation is long before it happens."""
    said = []

    def score(answers: Sequence[Any]) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        said.append(capfd.readouterr().err)
        return {"score": float(len(answers))}

    split = ScoredFeatures(toy.features("flag", 8), score)
    task = TrainingTask("flag", toy.features("flag", 40), {"dev": split}, "dev/score")
    with RunFolder(tmp_path / "run") as folder:
        trainer = toy.trainer(toy.model(["flag"]), [task], folder=folder)
        with pytest.raises(Interrupted, match="stopped by SIGINT after step 6"):
            trainer.fit()
        assert trainer.step == 6
        assert said == [f"SIGINT received: {WHAT_FOLLOWS}\n"]
        assert [path.name for path in folder.checkpoints.iterdir()] == ["step-00000006"]


def test_a_second_signal_in_an_evaluation_stops_at_once(toy, tmp_path, capfd) -> None:
    scored = []

    def score(answers: Sequence[Any]) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        scored.append(answers)
        return {"score": 0.0}

    split = ScoredFeatures(toy.features("flag", 8), score)
    task = TrainingTask("flag", toy.features("flag", 40), {"dev": split}, "dev/score")
    with RunFolder(tmp_path / "run") as folder:
        trainer = toy.trainer(toy.model(["flag"]), [task], folder=folder)
        with pytest.raises(StoppedAtOnce, match="stopped at once; go on with --resume"):
            trainer.fit()
    assert (scored, trainer.step) == ([], 6)
    assert capfd.readouterr().err == f"SIGINT received: {WHAT_FOLLOWS}\n"
