"""Methods side by side: tasks of GLUE on one MiniLM, equal steps, in ``bertmod compare``'s table.

Every method is a recipe that is written out and trained with ``bertmod run``, so that it can be
repeated by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contenders import own_parameters, timed
from benchmarks.results import OtherResults, save_page
from benchmarks.series import BUSY, listed, surroundings
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry

TASKS = ("cola", "mrpc", "rte", "stsb")

NUM_EPOCHS = 5
"""Turns of the annealed sampler, which changes at the end of an epoch; steps are a multiple."""

STEPS = 600
"""Of a run: about two and a half minutes on two cores that multiply bf16."""

PRETRAINED = 1e-4
FRESH = 1e-3
RATES: Mapping[str, float] = {"encoder": PRETRAINED, "adapters": FRESH, "heads": FRESH}
"""Learning rates of what comes from the checkpoint and of what starts from nothing.

The PALs paper trains all parts at 2e-5, but for 60,000 steps. A step of Adam moves a parameter by
about the rate, so an adapter, which trains in an eighth of them at half the peak on average, can
get 0.075 far. In 600 steps on four tasks it takes 1e-3 to get as far. The encoder is trained by
every task and is good already: a tenth of that. No rate was tuned on scores.
"""


@dataclass(frozen=True)
class Method:
    """What a recipe says beyond what all of them say.

    Attributes:
        adapters: Its adapters.
        learning_rate: Peak rates by component.
        freeze: What of the encoder does not train.
    """

    adapters: tuple[Mapping[str, Any], ...] = ()
    learning_rate: Mapping[str, float] = field(default_factory=lambda: RATES)
    freeze: str = "none"


METHODS: Mapping[str, Method] = {
    # The PALs paper gives every method about 1.13 times BERT's parameters for eight tasks, 1.6 % a
    # task. Of MiniLM's 22,713,216 that is 363,000; PALs of 120 units have 354,024, and the two
    # others are as near to them as a whole number of units comes.
    "shared": Method(),
    "pals": Method(({"name": "pals", "bottleneck_size": 120, "num_heads": 6},)),
    "low_rank": Method(({"name": "low_rank", "bottleneck_size": 76},)),
    # As published: serial, behind both blocks, the LayerNorms of each task its own.
    "houlsby": Method(
        (
            {
                "name": "bottleneck",
                "bottleneck_size": 37,
                "layer_norms": ["attention_norm", "output_norm"],
            },
        )
    ),
    # 2,304 factors a task cannot be made as many. They start at 1 and have to go tenths, not
    # hundredths, to matter: ten times the rate.
    "lhuc": Method(({"name": "lhuc"},), {**RATES, "adapters": 1e-2}),
    # As it is used: rank 8 on query and value, nothing of the encoder trains.
    "lora": Method(
        ({"name": "lora", "rank": 8, "alpha": 16, "sites": ["query", "value"]},),
        {"adapters": FRESH, "heads": FRESH},
        "encoder",
    ),
}

NOTES = (
    "All methods get the same tasks, steps, batches of 32 rows, sampler and schedule. Training "
    "splits and dev splits are whole; scores are those of the last step.",
    "pals, low_rank and houlsby have about as many parameters for a task, 1.6 % of the encoder's, "
    "as in the PALs paper; lhuc and lora are as small as they are by nature.",
    "The encoder trains together with the adapters; lora's is frozen, its pooler too.",
    "Learning rates follow one rule (encoder 1e-4, what starts fresh 1e-3, lhuc's factors 1e-2) "
    "and were not tuned on these scores. The budget is small: it ranks methods by how fast they "
    "learn, not by how far they come.",
)


def recipe(method: Method, *, data: str, checkpoint: str, steps: int = STEPS) -> dict[str, Any]:
    """The recipe of a method; its seed comes from the command line.

    Args:
        method: The method.
        data: Data folder.
        checkpoint: Checkpoint to start from.
        steps: Optimizer steps, a multiple of ``NUM_EPOCHS``.
    """
    return {
        "schema_version": 1,
        "data": {"dir": data, "max_length": 128},
        "checkpoint": {"name": "auto", "path": checkpoint},
        "tasks": [{"name": task} for task in TASKS],
        "adapters": [dict(adapter) for adapter in method.adapters],
        "freeze": method.freeze,
        "sampler": {"name": "anneal"},
        "optimizer": {"name": "adamw", "learning_rate": dict(method.learning_rate)},
        "schedule": {"name": "linear", "warmup_proportion": 0.1},
        "training": {
            "num_epochs": NUM_EPOCHS,
            "steps_per_epoch": steps // NUM_EPOCHS,
            "global_batch_size": 32,
            "precision": "auto",
            "device": "cpu",
        },
        "evaluation": {"every_steps": -(-steps // 2)},
        "saving": {"keep": 1},
        "trackers": [{"name": "jsonl"}],
    }


@dataclass(frozen=True)
class Study:
    """The methods to compare, and where.

    Attributes:
        folder: Folder of the recipes, the runs and the table.
        methods: Names of methods.
        seeds: Seeds.
        data: Data folder.
        checkpoint: Folder of the weights and the vocabulary.
        steps: Optimizer steps of each run, a multiple of ``NUM_EPOCHS``.
    """

    folder: Path
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    data: str
    checkpoint: str
    steps: int = STEPS

    def run(self, *, busy: bool = False, say: Callable[[str], None] = print) -> str:
        """Make the runs that are not finished, all methods of a seed before the next seed.

        Args:
            busy: Whether to say that the timings mean nothing.
            say: Takes a line for each run.

        Returns:
            The page.

        Raises:
            BertmodError: If a recipe is wrong, before anything is run.
            OtherResults: If the folder holds runs of another length, data or checkpoint.
            RunFailed: If a run fails; the same call goes on with it.
        """
        facts = self._facts(busy=busy)
        self._write_recipes()
        for seed in self.seeds:
            for name in self.methods:
                seconds = self._train(name, seed)
                if seconds is not None:
                    facts["seconds"].setdefault(name, {})[str(seed)] = seconds
                self._save(facts)
                time = "begun before" if seconds is None else f"{seconds:.0f} s"
                say(f"{name}, seed {seed}: done ({time})")
        return self._save(facts)

    @property
    def _json(self) -> Path:
        return self.folder / "methods.json"

    def _folder(self, name: str, seed: int) -> Path:
        return self.folder / name / f"seed-{seed}"

    def _write_recipes(self) -> None:
        registry = load_registry()
        (self.folder / "recipes").mkdir(parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(exist_ok=True)
        for name in self.methods:
            values = recipe(
                METHODS[name], data=self.data, checkpoint=self.checkpoint, steps=self.steps
            )
            resolve(values, registry)
            self._recipe(name).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")

    def _recipe(self, name: str) -> Path:
        return self.folder / "recipes" / f"{name}.json"

    def _facts(self, *, busy: bool) -> dict[str, Any]:
        """What the JSON file says, with the seconds of runs made before."""
        subject = {"steps": self.steps, "data": self.data, "checkpoint": self.checkpoint}
        notes = [*NOTES, *([BUSY] if busy else [])]
        facts: dict[str, Any] = {"subject": subject, **surroundings(), "notes": notes}
        stored = json.loads(self._json.read_text("utf-8")) if self._json.is_file() else {}
        if stored and stored["subject"] != subject:
            raise OtherResults(f"{self._json}: results of other settings; name another --output")
        return {**facts, "seconds": stored.get("seconds", {})}

    def _train(self, name: str, seed: int) -> float | None:
        """One run; returns its seconds, None if it was finished or is made in several goes."""
        run = self._folder(name, seed)
        begun = (run / "recipe.json").is_file()
        seconds = timed(
            self._bertmod(
                "run",
                str(self._recipe(name)),
                *("--output", str(run.parent), "--seeds", str(seed)),
                *("--resume", "--quiet", "--strict-data"),
            ),
            log=self.folder / "logs" / f"{name}-{seed}.txt",
        )
        return None if begun else seconds

    def _save(self, facts: Mapping[str, Any]) -> str:
        """Write the page of all runs in the folder that have ended, and return it."""
        runs = {
            name: sorted(final.parent for final in self.folder.glob(f"{name}/seed-*/final"))
            for name in METHODS
        }
        lines = [
            f"# Methods on {', '.join(TASKS)}: {self.steps} steps from MiniLM",
            "",
            self._compared([run for found in runs.values() for run in found]),
            *method_table(
                {name: found[0] for name, found in runs.items() if found},
                seconds=facts["seconds"],
            ),
            "",
            *(f"{note}\n" for note in facts["notes"]),
            f"- machine: {listed(facts['machine'])}",
            f"- bertmod: {listed(facts['versions']['bertmod'])}",
            f"- command: `{facts['command']}`",
            "",
        ]
        page = "\n".join(lines)
        save_page(self._json, json.dumps(facts, indent=2) + "\n", page)
        return page

    def _compared(self, runs: Sequence[Path]) -> str:
        """The table that ``bertmod compare`` makes; it stays in the folder, as CSV too."""
        table = self.folder / "table.md"
        outputs = ("--output", str(table), "--output", str(table.with_suffix(".csv")))
        command = self._bertmod("compare", *map(str, runs), "--from", "final", *outputs)
        timed(command, log=self.folder / "logs" / "compare.txt")
        return table.read_text(encoding="utf-8")

    @staticmethod
    def _bertmod(*arguments: str) -> tuple[str, ...]:
        return (sys.executable, "-m", "bertmod", *arguments)


def method_table(
    runs: Mapping[str, Path], *, seconds: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """Lines of a Markdown table: parameters of one task and time of each method.

    Args:
        runs: Method to the folder of one of its runs.
        seconds: Method to seed to the seconds of the run, of those made in one go.
    """
    rows = [
        ("method", "adapter parameters of a task", "encoder", "learning rates", "seconds of a run"),
        ("---", "---:", "---", "---", "---:"),
    ]
    for name, run in runs.items():
        method = METHODS[name]
        count = own_parameters(run / "final" / TASKS[0])["adapter_parameters"]
        times = ", ".join(f"{value:.0f}" for value in seconds.get(name, {}).values())
        trains = "frozen" if method.freeze == "encoder" else "trains"
        rates = listed({key: f"{rate:g}" for key, rate in method.learning_rate.items()})
        rows.append((name, f"{count:,}", trains, rates, times))
    return [f"| {' | '.join(row)} |" for row in rows]
