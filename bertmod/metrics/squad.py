"""Scores of answers in free text: exact match and F1 over words."""

from __future__ import annotations

import re
import string
from collections import Counter

_ARTICLE = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """An answer as the scores compare it.

    Lower case, without ASCII punctuation (nothing in its place: ``U.S.`` is ``us``), without the
    words a, an and the, with single spaces between words.

    Args:
        text: Any text.

    Source: Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1.
    """
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(gold: str, prediction: str) -> float:
    """1.0 where both answers are the same after normalisation, else 0.0.

    Args:
        gold: A right answer; empty for a question without one.
        prediction: The given answer.
    """
    return float(normalize_answer(gold) == normalize_answer(prediction))


def f1(gold: str, prediction: str, *, empty_is_match: bool) -> float:
    """Harmonic mean of precision and recall of the words of an answer, each as often as it occurs.

    Args:
        gold: A right answer; empty for a question without one.
        prediction: The given answer.
        empty_is_match: Whether two answers that are empty after normalisation agree, as SQuAD 2.0
            has it; SQuAD 1.1 gives them 0.

    Returns:
        A value in [0, 1].

    Source: Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1; 2.0: Rajpurkar et al. 2018,
    arXiv:1806.03822.
    """
    gold_words = normalize_answer(gold).split()
    given_words = normalize_answer(prediction).split()
    if not gold_words or not given_words:
        return float(empty_is_match and gold_words == given_words)
    shared = sum((Counter(gold_words) & Counter(given_words)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(given_words), shared / len(gold_words)
    return 2 * precision * recall / (precision + recall)
