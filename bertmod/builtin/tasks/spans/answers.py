"""Scores of tokens to answers: the best spans of all windows of a question, ranked.

Letters: N candidates, S starts, E ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bertmod import Example, Feature, Tokenizer
from bertmod.builtin.tasks.spans.config import SpanConfig
from bertmod.builtin.tasks.spans.recovery import TextRecovery
from bertmod.builtin.tasks.spans.words import Words
from bertmod.builtin.tasks.split_files import Decoded

NONCE = "empty"
"""What the original answers where no span is possible and there must be an answer."""

CERTAIN = 1_000_000.0
"""Null odds of a question for which no answer is possible."""


class Entry(NamedTuple):
    """An answer to a question.

    Attributes:
        text: Its text, empty for none.
        start_logit: Score of its first token.
        end_logit: Score of its last token.
        start: Character of the context at which it begins; None where there is no such place.
        end: Character behind its last.
    """

    text: str
    start_logit: float
    end_logit: float
    start: int | None = None
    end: int | None = None


class Decision(NamedTuple):
    """The answers to a question.

    Attributes:
        ranked: The best ones, the best first, each text once; at least one.
        best: The best that has a text; None if none has.
        null_odds: Score of no answer less that of ``best``; 0.0 where each question has an answer.
    """

    ranked: list[Entry]
    best: Entry | None
    null_odds: float


class _Spans(NamedTuple):
    """Possible answers, in the order in which the original lists them.

    Attributes:
        window_N: Window of each.
        first_N: Its first piece, counted from the first piece of the context in the window.
        last_N: Its last piece; below ``first_N`` for no answer.
        start_N: Score of its first token, float64.
        end_N: Score of its last token, float64.
    """

    window_N: np.ndarray
    first_N: np.ndarray
    last_N: np.ndarray
    start_N: np.ndarray
    end_N: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[_Spans]) -> _Spans:
        """Lists of candidates one behind another."""
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class AnswerSearch:
    """Ranks the spans of windows; keeps what it learnt of words from one question to the next.

    Args:
        tokenizer: What made the windows.
        config: How many spans are tried, and how long they may be.
        no_answers: Whether a question may have no answer.

    Source: google-research/bert run_squad.py.
    """

    def __init__(self, tokenizer: Tokenizer, config: SpanConfig, *, no_answers: bool) -> None:
        self._tokenizer, self._config, self._no_answers = tokenizer, config, no_answers
        self._recovery = TextRecovery(tokenizer)
        self._context, self._words = "", Words("")

    def __call__(self, example: Example, decoded: Decoded, *, most: int) -> Decision:
        """The answers to a question.

        Args:
            example: The question.
            decoded: Its windows, each with ``start_logits`` and ``end_logits``, a number for each
                token; what is beyond the window's tokens takes part in the ranking of starts and
                of ends and no further.
            most: Answers wanted, at least 1.

        Returns:
            Equal scores keep the order of windows, and in a window of starts, then of ends, by
            rank. Where a question may have no answer, that is among the answers, and where no
            other is possible the only one.
        """
        if not decoded:
            nothing = [Entry("", 0.0, 0.0)]
            return Decision(nothing, None, CERTAIN if self._no_answers else 0.0)
        parts = [_spans(number, *each, config=self._config) for number, each in enumerate(decoded)]
        null = _null(decoded) if self._no_answers else None
        if null is not None:
            parts.append(null)
        spans = _Spans.joined(parts)
        ranked = self._ranked(example, decoded, spans, most)
        no_answer = (
            None if null is None else Entry("", float(null.start_N[0]), float(null.end_N[0]))
        )
        if no_answer is not None and all(entry.text for entry in ranked):
            ranked.append(no_answer)
        if not ranked:
            ranked.append(Entry(NONCE, 0.0, 0.0))
        best = next((entry for entry in ranked if entry.text), None)
        return Decision(ranked, best, _odds(no_answer, best))

    def _ranked(self, example: Example, decoded: Decoded, spans: _Spans, most: int) -> list[Entry]:
        """The best candidates, each text once."""
        words = self._words_of(example["context"])
        shown: dict[int, list[str]] = {}
        seen: set[str] = set()
        ranked: list[Entry] = []
        for place in np.argsort(-(spans.start_N + spans.end_N), kind="stable").tolist():
            window = int(spans.window_N[place])
            if window not in shown:
                shown[window] = self._pieces(decoded[window][0])
            entry = self._entry(words, decoded[window][0], shown[window], spans, place)
            if entry.text not in seen:
                seen.add(entry.text)
                ranked.append(entry)
                if len(ranked) == most:
                    break
        return ranked

    def _entry(
        self, words: Words, window: Feature, pieces: list[str], spans: _Spans, place: int
    ) -> Entry:
        first, last = int(spans.first_N[place]), int(spans.last_N[place])
        scores = float(spans.start_N[place]), float(spans.end_N[place])
        if last < first:
            return Entry("", *scores)
        word_of_piece = window.host["words"]
        begin, end = int(word_of_piece[first]), int(word_of_piece[last])
        if _whole(word_of_piece, first, last):  # most answers: nothing is to be recovered
            stop = words.starts[end] + len(words.texts[end])
            return Entry(" ".join(words.texts[begin : end + 1]), *scores, words.starts[begin], stop)
        found = self._recovery(pieces[first : last + 1], words.texts[begin : end + 1])
        start = words.starts[begin + found.first[0]] + found.first[1]
        stop = words.starts[begin + found.last[0]] + found.last[1] + 1
        return Entry(found.text, *scores, start, stop)

    def _pieces(self, window: Feature) -> list[str]:
        """Vocabulary entries of the context's pieces in a window."""
        ids, count = window.rows[0]["input_ids"], len(window.host["words"])
        return self._tokenizer.pieces(ids[len(ids) - count - 1 : -1].tolist())

    def _words_of(self, context: str) -> Words:
        if context != self._context:  # questions about one context follow each other
            self._context, self._words = context, Words(context)
        return self._words


def probabilities(entries: Sequence[Entry]) -> list[float]:
    """Softmax of the entries' scores.

    In double precision and summed one after another: the last digits are those of the original.
    """
    scores = [entry.start_logit + entry.end_logit for entry in entries]
    top = max(scores)
    shares = [math.exp(score - top) for score in scores]
    total = 0.0
    for share in shares:
        total += share
    return [share / total for share in shares]


def _odds(no_answer: Entry | None, best: Entry | None) -> float:
    if no_answer is None:
        return 0.0
    if best is None:
        return CERTAIN
    return (no_answer.start_logit + no_answer.end_logit) - best.start_logit - best.end_logit


def _spans(
    number: int, window: Feature, arrays: Mapping[str, np.ndarray], *, config: SpanConfig
) -> _Spans:
    """Possible answers in one window."""
    widest = window.host["widest"]
    shift = len(window.rows[0]["input_ids"]) - len(widest) - 1
    start_S, first_S = _best(arrays["start_logits"], config.n_best_size, shift, len(widest))
    end_E, last_E = _best(arrays["end_logits"], config.n_best_size, shift, len(widest))
    shown_S = widest[first_S]
    start_S, first_S = start_S[shown_S], first_S[shown_S]
    lengths_SE = last_E - first_S[:, None]
    start_N, end_N = np.nonzero((lengths_SE >= 0) & (lengths_SE < config.max_answer_length))
    return _Spans(
        np.full(len(start_N), number),
        first_S[start_N],
        last_E[end_N],
        start_S[start_N],
        end_E[end_N],
    )


def _best(logits: np.ndarray, most: int, shift: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The highest scores, float64, and their pieces of the context; of equals the first is first.

    What is not of the context takes its place among the highest and is then left out.
    """
    tokens = np.argsort(-logits, kind="stable")[:most]
    tokens = tokens[(tokens >= shift) & (tokens < shift + count)]
    return logits[tokens].astype(np.float64), tokens - shift


def _whole(word_of_piece: np.ndarray, first: int, last: int) -> bool:
    """Whether pieces are surely all of their words, which then are the answer as they stand.

    A window may begin or end within a word, so that its ends are never sure.
    """
    if first == 0 or last + 1 == len(word_of_piece):
        return False
    begins = word_of_piece[first - 1] != word_of_piece[first]
    ends = word_of_piece[last + 1] != word_of_piece[last]
    return bool(begins and ends)


def _null(decoded: Decoded) -> _Spans:
    """No answer, by the window in which its score is lowest."""
    scores = [
        (float(arrays["start_logits"][0]), float(arrays["end_logits"][0])) for _, arrays in decoded
    ]
    window = min(range(len(scores)), key=lambda number: sum(scores[number]))
    start, end = scores[window]
    return _Spans(*(np.array([value]) for value in (window, 0, -1, start, end)))


def answers_as_json(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The entries with their probabilities, as ``nbest_predictions.json`` has them."""
    return [
        {
            "text": entry.text,
            "probability": probability,
            "start_logit": entry.start_logit,
            "end_logit": entry.end_logit,
        }
        for entry, probability in zip(entries, probabilities(entries), strict=True)
    ]
