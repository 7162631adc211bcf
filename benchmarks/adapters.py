"""Adapters on MRPC: bertmod beside peft's LoRA and the Houlsby adapters of adapters.

The encoder is frozen, its pooler too; the adapter and the classifier train, with the same rows,
hyper-parameters and starting distributions on both sides.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contenders import Outcome, run_bertmod, run_peer
from benchmarks.mrpc import TASK, given_labels, scores
from benchmarks.results import Results, Run, gap, score_table
from benchmarks.rows import Rows, pair_rows
from benchmarks.series import peer_lines, surroundings_lines
from benchmarks.settings import FineTuning
from benchmarks.single_task import peer_settings


@dataclass(frozen=True)
class Method:
    """An adapter as bertmod's recipe names it and as a peer's program takes it.

    Attributes:
        ours: Names of bertmod's runs, to their precision.
        adapter: The adapter in a recipe.
        theirs: Name of the peer's runs.
        peer: The peer.
        program: Its program in ``benchmarks/programs/``.
        options: The program's own options.
    """

    ours: Mapping[str, str]
    adapter: Mapping[str, Any]
    theirs: str
    peer: str
    program: str
    options: Mapping[str, Any]

    @property
    def tools(self) -> tuple[str, ...]:
        """Names of its runs, the peer's first."""
        return (self.theirs, *self.ours)


LORA = Method(
    ours={"bertmod lora fp32": "fp32", "bertmod lora auto": "auto"},
    # Both start A as the authors' program does, uniform in +-1/sqrt(width), and B at 0.
    adapter={"name": "lora", "rank": 8, "alpha": 16, "dropout": 0.1, "sites": ["query", "value"]},
    theirs="peft lora",
    peer="peft",
    program="peft_lora",
    options={"rank": 8, "alpha": 16, "lora_dropout": 0.1, "sites": ["query", "value"]},
)

HOULSBY = Method(
    ours={"bertmod bottleneck fp32": "fp32", "bertmod bottleneck auto": "auto"},
    # 24 of 384 units is the library's own reduction by 16. It trains no LayerNorms and draws from
    # N(0, 0.02); a null init_scale draws from there too.
    adapter={"name": "bottleneck", "bottleneck_size": 24, "hidden_act": "gelu", "init_scale": None},
    theirs="adapters houlsby",
    peer="adapters",
    program="adapters_houlsby",
    options={"bottleneck_size": 24},
)

METHODS = (LORA, HOULSBY)
TOOLS = tuple(tool for method in METHODS for tool in method.tools)

LEARNING_RATE = 1e-3
"""Of adapters and classifier. A frozen encoder wants more than the 5e-5 of full fine-tuning: the
LoRA paper trains RoBERTa's MRPC at 4e-4, Houlsby's sweep goes up to 3e-3; half-way between these
in powers of ten, and the same on both sides."""

COLUMNS = {"adapter parameters": "adapter_parameters", "head parameters": "head_parameters"}

NOTES = (
    "Scores are in points, over the whole dev split, of the model of the last step. All "
    "predictions are scored by scikit-learn.",
    "The encoder is frozen and its pooler with it; an adapter and the classifier train. peft and "
    "adapters leave the pooler frozen so: peft's `modules_to_save` is the classifier alone. "
    "bertmod's `freeze` is `encoder`, which the pooler belongs to.",
    "Parameters are those that train, counted by each tool on its own model; bertmod's are those "
    "in the task's folder of the finished run.",
    "Houlsby is adapters' `DoubleSeqBnConfig` with `gelu` for its `swish`. The paper trains "
    "LayerNorms too, the library does not; bertmod's `layer_norms` is therefore empty.",
    "Each tool takes the rows in an order of its own. bertmod's schedule falls from the end of "
    "the warm-up and its batches are not sorted by length, as in transformers. The peers compute "
    "in fp32; so does bertmod where its name says so, and in what it chooses itself under `auto`.",
)


@dataclass(frozen=True)
class Comparison:
    """What is compared, and where.

    Attributes:
        data: Data folder.
        checkpoint: Folder of the weights and the vocabulary.
        pythons: Peer to the interpreter of its environment.
        work: Folder for the runs' files.
        settings: Hyper-parameters.
        notes: What a reader of the results has to know.
    """

    data: str
    checkpoint: str
    pythons: Mapping[str, Path]
    work: Path
    settings: FineTuning = field(default_factory=lambda: FineTuning(learning_rate=LEARNING_RATE))
    notes: Sequence[str] = NOTES

    def subject(self, rows: Rows) -> dict[str, Any]:
        """What results of one file have in common."""
        return {
            "task": {"name": TASK},
            "rows": dict(rows.num_rows),
            "features": dict(rows.num_features),
            "checkpoint": self.checkpoint,
            "settings": asdict(self.settings),
            "adapters": [dict(method.adapter) for method in METHODS],
        }

    def recipe(self, tool: str, *, seed: int) -> dict[str, Any]:
        """The recipe of one of bertmod's runs."""
        method = method_of(tool)
        return self.settings.recipe(
            self._slot,
            data=self.data,
            checkpoint=self.checkpoint,
            seed=seed,
            precision=method.ours[tool],
            bucket_window=1,
            adapters=[method.adapter],
            freeze="encoder",
        )

    def read(self) -> Rows:
        """The rows; they are also written for the peers."""
        rows = pair_rows(
            self.settings.recipe(self._slot, data=self.data, checkpoint=self.checkpoint, seed=1)
        )
        rows.save(self._rows)
        return rows

    def train(self, tool: str, rows: Rows, *, seed: int) -> Outcome:
        """One run of one tool."""
        method, folder = method_of(tool), self.work / f"{tool.replace(' ', '-')}-{seed}"
        if tool != method.theirs:
            return run_bertmod(self.recipe(tool, seed=seed), folder, answers=given_labels)
        given = {
            **peer_settings(self.settings, rows, checkpoint=self.checkpoint, seed=seed),
            **method.options,
        }
        python = self.pythons[method.peer]
        return run_peer(method.program, given, folder, python=python, rows=self._rows)

    def score(self, rows: Rows, predictions: Any) -> Mapping[str, float]:
        """Accuracy and F1."""
        return scores(rows, predictions)

    def page(self, results: Results) -> str:
        """The results as a Markdown page."""
        return page(results)

    @property
    def _slot(self) -> dict[str, Any]:
        head = {"name": "classification", "dropout": self.settings.dropout}
        return {"name": TASK, "head": head}

    @property
    def _rows(self) -> Path:
        return self.work / "rows.json"


def method_of(tool: str) -> Method:
    """The method that a run is of."""
    return next(method for method in METHODS if tool in method.tools)


def peers(tools: Sequence[str]) -> tuple[str, ...]:
    """The peers that some of the runs need."""
    return tuple(method.peer for method in METHODS if method.theirs in tools)


def page(results: Results) -> str:
    """The results as a Markdown page."""
    lines = [
        "# Adapters on MRPC: bertmod beside peft and adapters",
        "",
        *score_table(results, TOOLS, columns=COLUMNS),
        "",
        *(line for method in METHODS for line in verdicts(results, method)),
        "",
        *(f"{note}\n" for note in results.facts["notes"]),
        *surroundings_lines(results),
        *(f"- {method.adapter['name']}: `{json.dumps(method.adapter)}`" for method in METHODS),
    ]
    for method in METHODS:
        lines += peer_lines(method.peer, results.of(method.theirs))
    return "\n".join([*lines, f"- command: `{results.facts['command']}`", ""])


def verdicts(results: Results, method: Method) -> Iterator[str]:
    """For each of bertmod's runs of a method, how it stands to the peer's on the same seeds."""
    for tool in method.ours:
        ours, theirs = results.paired(tool, method.theirs)
        if ours:
            yield (
                f"- {tool}: mean accuracy {gap(ours, theirs, score='accuracy'):+.2f} points from "
                f"{method.theirs}'s over {len(ours)} seed(s); "
                f"{parameters_verdict(ours[-1], theirs[-1])}"
            )


def parameters_verdict(ours: Run, theirs: Run) -> str:
    """Whether two runs train as many parameters, part by part."""
    keys = (*COLUMNS.values(), "encoder_parameters")
    counts = [tuple(run.details.get(key, 0) for key in keys) for run in (ours, theirs)]
    if counts[0] == counts[1]:
        return "as many trained parameters"
    names = ("adapter", "head", "encoder")
    parts = [
        f"{name} {mine:,} beside {other:,}"
        for name, mine, other in zip(names, *counts, strict=True)
        if mine != other
    ]
    return f"OTHER trained parameters: {', '.join(parts)}"
