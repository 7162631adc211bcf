"""One suite, measured and written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import save_page
from benchmarks.series import surroundings
from benchmarks.speed import data as data_suite
from benchmarks.speed import growth, growth_page, infer, startup, targets, train
from benchmarks.speed.contest import Setting, hold_all
from benchmarks.speed.page import page
from benchmarks.speed.shapes import checkpoint

SUITES = ("train", "infer", "data", "startup", "growth")


@dataclass(frozen=True)
class Asked:
    """What the command line asks for.

    Attributes:
        suite: One of ``SUITES``.
        shape: Key of ``shapes.WIDTHS``; of ``train``, ``infer`` and ``growth``.
        data: Data folder; ``startup`` needs none.
        weights: MiniLM's, in the Hugging Face layout; ``startup`` needs none.
        steps: Steps of a round of ``train`` or ``growth``, or of the training before ``infer``;
            None: the shape's own.
        rows: Rows that ``infer`` answers.
        variants: Name of a further contender of bertmod's that trains, to what is set in its
            recipe.
        busy: Whether to say that the timings mean nothing.
    """

    suite: str
    shape: str
    data: Path
    weights: str
    steps: int | None = None
    rows: int = infer.ROWS
    variants: Mapping[str, Sequence[str]] = field(default_factory=dict)
    busy: bool = False


def measure(asked: Asked, setting: Setting, output: Path) -> str:
    """Measure a suite, write its JSON file and the page beside it.

    Returns:
        The page.

    Raises:
        RunFailed: If a worker or a command fails.
        Unable: If a chosen contender is not in the suite.
        BertmodError: If the data or the weights cannot be used.
    """
    about = surroundings()
    about["machine"]["threads"] = setting.threads
    values: dict[str, Any] = {
        **about,
        "kind": about["machine"]["bf16"],
        "suite": asked.suite,
        "shape": asked.shape,
        "rounds": setting.rounds,
        "busy": asked.busy,
        **MEASURES[asked.suite](asked, setting, about["machine"]["bf16"]),
    }
    text = PAGES.get(asked.suite, page)(values)
    save_page(output, json.dumps(values, indent=2) + "\n", text)
    return text


def _train(asked: Asked, setting: Setting, kind: str) -> dict[str, Any]:
    if torch.cuda.is_available():
        setting, kind = replace(setting, device="cuda"), targets.GPU
    folder, weights = setting.folder, _weights(asked, setting)
    work, pairs = train.load(asked.data, weights, folder, shape=asked.shape, steps=asked.steps)
    groups = train.groups(work, pairs, kind=kind, variants=asked.variants)
    return {
        "title": f"Training speed, shape {asked.shape}",
        "kind": kind,
        "unit": "real tokens",
        "groups": hold_all(groups, setting),
        "notes": train.notes(work),
        "facts": {"hyper-parameters": train.shown(work)},
    }


def _infer(asked: Asked, setting: Setting, kind: str) -> dict[str, Any]:
    answered = infer.prepare(
        asked.data,
        _weights(asked, setting),
        setting.folder,
        shape=asked.shape,
        num_rows=asked.rows,
        steps=asked.steps or infer.STEPS[asked.shape],
    )
    return {
        "title": f"Prediction speed, shape {asked.shape}",
        "unit": "real tokens",
        "groups": hold_all(infer.groups(answered, kind=kind), setting),
        "notes": infer.notes(answered),
        "facts": {"answers unlike those of bertmod auto": infer.differing(setting.folder)},
    }


def _data(asked: Asked, setting: Setting, _: str) -> dict[str, Any]:
    groups = data_suite.groups(asked.data, asked.weights, setting.folder)
    return {
        "title": "Data path",
        "unit": "rows",
        "groups": hold_all(groups, setting),
        "notes": data_suite.notes(),
        "facts": {},
    }


def _startup(_: Asked, setting: Setting, __: str) -> dict[str, Any]:
    found = hold_all(startup.groups(setting.folder / "run"), setting)
    return {
        "title": "Start-up",
        "unit": "times",
        "groups": found,
        "notes": startup.notes(found),
        "facts": {},
    }


def _growth(asked: Asked, setting: Setting, _: str) -> dict[str, Any]:
    folder, weights = setting.folder, _weights(asked, setting)
    steps = asked.steps or growth.STEPS
    work = growth.work(asked.data, weights, folder, shape=asked.shape, steps=steps)
    curves = growth.curves(work)
    groups = [each.group(growth.MOST[asked.shape]) for each in curves]
    return {
        "title": f"Growth of cost, shape {asked.shape}",
        "unit": "real tokens",
        "groups": hold_all(groups, setting),
        "curves": {each.title: each.shown() for each in curves},
        "notes": growth_page.NOTES,
        "facts": {},
    }


MEASURES = {
    "train": _train,
    "infer": _infer,
    "data": _data,
    "startup": _startup,
    "growth": _growth,
}

PAGES = {"growth": growth_page.page}
"""Suites whose page is not like the others'."""


def _weights(asked: Asked, setting: Setting) -> str:
    return str(checkpoint(asked.shape, asked.weights, setting.folder / f"weights-{asked.shape}"))
