"""The page and the plot of a study of pre-training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.curves import Curve
from benchmarks.paragraphs import Corpus
from benchmarks.series import listed
from bertmod.assemble.components import build_tokenizer
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry

SHOWN = 8
"""Evaluations of a run that its table shows, the last one among them."""


def evaluations(run: Path) -> list[dict[str, float]]:
    """Scores of each evaluation of a run of pre-training, with its step."""
    found: dict[int, dict[str, float]] = {}
    for line in (run / "metrics.jsonl").read_text("utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "evaluation":
            named = {name.rpartition("/")[2]: value for name, value in event["scores"].items()}
            found[event["step"]] = {"step": event["step"], **named}
    return [found[step] for step in sorted(found)]


def curve(title: str, scores: Sequence[Mapping[str, float]], seconds: float, base: Any) -> Curve:
    """The evaluations of a run of so many seconds, spread evenly over its steps.

    Args:
        title: What the reader is told.
        scores: From ``evaluations``.
        seconds: Whole run.
        base: From ``unigram``.
    """
    last = scores[-1]["step"]
    return Curve(
        title,
        [each["step"] / last * seconds / 60 for each in scores],
        [each["masked_lm_loss"] for each in scores],
        [each["masked_lm_accuracy"] for each in scores],
        base,
    )


def unigram(corpus: Corpus, *, vocab: str) -> tuple[float, float]:
    """Loss and accuracy of the training text's frequencies alone on the held-out text.

    Each piece is counted once more than it occurs, so that none is impossible.
    """
    tokenizer = {"name": "wordpiece", "vocab": vocab}
    recipe = resolve(
        {"schema_version": 1, "tasks": [{"name": "pretraining"}], "tokenizer": tokenizer},
        load_registry(),
    )
    built = build_tokenizer(recipe)
    train, dev = (_ids(path, built) for path in (corpus.train, corpus.dev))
    counts_V, held_V = (np.bincount(ids, minlength=built.vocab_size) for ids in (train, dev))
    logarithms_V = np.log((counts_V + 1) / (counts_V + 1).sum())
    loss = -float(held_V @ logarithms_V) / len(dev)
    return loss, float(held_V[counts_V.argmax()]) / len(dev)


def _ids(path: Path, tokenizer: Tokenizer) -> np.ndarray:
    return tokenizer.texts(path.read_text("utf-8").splitlines()).ids


def page(
    corpus: Corpus,
    facts: Mapping[str, Any],
    curves: Mapping[str, tuple[Curve, Sequence[Mapping[str, float]]]],
    *,
    learnt: str | None,
    examples: Mapping[str, Mapping[str, Sequence[float]]],
) -> str:
    """The results as Markdown.

    Args:
        corpus: The text.
        facts: Machine, versions, command and notes.
        curves: Runs of pre-training, with their evaluations.
        learnt: What is told of the sample.
        examples: Task to start to the main scores of its seeds, in [0, 1].
    """
    words, articles = corpus.words, corpus.articles
    lines = [
        "# Pre-training on the paragraphs of SQuAD",
        "",
        f"{words[0]:,} words of {articles[0]} articles to train on, {words[1]:,} words of "
        f"{articles[1]} others held out; each paragraph once.",
        "",
    ]
    for found, scores in curves.values():
        lines += [f"## {found.title}", "", *_curve_table(found, scores), ""]
    if learnt:
        lines += ["## A short text by heart", "", learnt, ""]
    lines += ["## Tasks learnt afterwards", "", *_example_table(examples), ""]
    lines += [*(f"{note}\n" for note in facts["notes"]), f"- machine: {listed(facts['machine'])}"]
    lines += [
        f"- bertmod: {listed(facts['versions']['bertmod'])}",
        f"- command: `{facts['command']}`",
    ]
    return "\n".join([*lines, ""])


def _curve_table(found: Curve, scores: Sequence[Mapping[str, float]]) -> list[str]:
    lines = [
        "| minutes | step | masked loss | masked accuracy, % | next sentence, % |",
        "| ---: | ---: | ---: | ---: | ---: |",
        f"| frequencies alone | | {found.unigram[0]:.2f} | {100 * found.unigram[1]:.1f} | |",
    ]
    places = np.unique(np.linspace(0, len(scores) - 1, SHOWN).round().astype(int))
    for place in places:
        each = scores[place]
        lines.append(
            f"| {found.minutes[place]:.1f} | {each['step']:,} | {each['masked_lm_loss']:.3f} | "
            f"{100 * each['masked_lm_accuracy']:.1f} | {100 * each['next_sentence_accuracy']:.1f} |"
        )
    return lines


def _example_table(examples: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    lines = ["| task | encoder | scores, % | mean |", "| --- | --- | --- | ---: |"]
    for task, starts in examples.items():
        for start, scores in starts.items():
            shown = ", ".join(f"{100 * score:.2f}" for score in scores)
            lines.append(f"| {task} | {start} | {shown} | {100 * fmean(scores):.2f} |")
    return lines
