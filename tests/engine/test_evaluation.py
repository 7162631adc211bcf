"""What is scored is made once, and can be had afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bertmod.engine.evaluate import ScoredFeatures
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
