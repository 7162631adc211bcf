"""What each question's answer is worth, and the scores of any sample of questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bertmod import Example
from bertmod.metrics.squad_official import question_scores


@dataclass(frozen=True)
class QuestionScores:
    """Scores of each question, in [0, 1].

    Attributes:
        f1: Words shared with the right answer that is nearest, (questions,), float64.
        exact: Whether it is one of the right answers, (questions,), float64.
        has_answer: Whether there is a right answer, (questions,), bool; None where each question
            has one.
    """

    f1: np.ndarray
    exact: np.ndarray
    has_answer: np.ndarray | None

    @classmethod
    def of(
        cls, examples: Sequence[Example], texts: Sequence[str], *, no_answers: bool
    ) -> QuestionScores:
        """Scores of given answers.

        Args:
            examples: Questions with ``answers``.
            texts: The answer to each; empty for none.
            no_answers: Whether questions may have no answer; no answer is then right where there
                is none.
        """
        # By number, not by id: of a sample a question may be there twice.
        golds = {
            str(number): [answer["text"] for answer in example["answers"]]
            for number, example in enumerate(examples)
        }
        given = dict(zip(golds, texts, strict=True))
        found = question_scores(golds, given, no_answers=no_answers)
        f1, exact = (np.array([*found[name].values()], np.float64) for name in ("f1", "exact"))
        kinds = np.array([bool(answers) for answers in golds.values()], bool)
        return cls(f1, exact, kinds if no_answers else None)

    def sample(self, rows: np.ndarray) -> Mapping[str, float]:
        """Means over some questions, each any number of times; 0.0 over none.

        Args:
            rows: Numbers of questions, (rows,), int64.
        """
        found = {"f1": _mean(self.f1[rows]), "exact": _mean(self.exact[rows])}
        if self.has_answer is None:
            return found
        for kind, wanted in (("has_answer", True), ("no_answer", False)):
            own = rows[self.has_answer[rows] == wanted]
            found |= {f"{kind}_f1": _mean(self.f1[own]), f"{kind}_exact": _mean(self.exact[own])}
        return found

    def whole(self) -> Mapping[str, float]:
        """Means over all questions."""
        return self.sample(np.arange(len(self.f1)))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
