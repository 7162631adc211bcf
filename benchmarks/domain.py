"""A small encoder pre-trained on the paragraphs of SQuAD, and what that is good for.

Every run is a recipe that is written out and trained with ``bertmod run``, so that it can be
repeated by hand. A run that has ended is not made again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.contenders import timed
from benchmarks.curves import Curve, draw_curves
from benchmarks.domain_page import curve, evaluations, page, unigram
from benchmarks.paragraphs import Corpus, write_corpus
from benchmarks.results import save_page
from benchmarks.series import BUSY, surroundings
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry

VOCAB_SIZE = 8000
ENCODER = {"name": "bert", "size": "tiny", "initializer_range": 0.05}
"""Two layers of 128; fresh weights have the scale that 0.02 gives a hidden size of 768."""

FRESH_RATE = 2e-3
RATES = {"encoder": 1e-4, "heads": 1e-3}
"""Learning rates where an encoder is trained already."""

EXAMPLES: Mapping[str, int] = {"sst2": 1000, "mrpc": 345}
"""Tasks that are learnt afterwards, and for how many steps of 32 rows."""

TASK_RATE = 3e-4
ENOUGH = 0.9
"""Masked accuracy on the sample at which it counts as learnt."""


TITLES = {
    "scratch": "A tiny encoder from scratch",
    "continued": "MiniLM, continued",
}

NOTES = (
    "Held-out scores; the masks of the held-out text are the same in every evaluation. Frequencies "
    "alone answer every mask with the distribution of the training text's pieces. The time of an "
    "evaluation is its share of the run's, start and evaluations counted.",
    "The tiny encoder has a vocabulary of 8,000 pieces learnt from the text, and no dropout here; "
    "MiniLM's masked-LM head is new.",
    "The tasks take the same steps, rates and batches from either encoder; scores are accuracies "
    "on the dev split after the last step.",
)


@dataclass(frozen=True)
class Study:
    """The runs, and where.

    Attributes:
        folder: Folder of the corpus, the recipes and the runs.
        data: Folder that has SQuAD/, SST-2/ and MRPC/.
        checkpoint: Folder of MiniLM's weights and vocabulary.
        sample: A short text to learn by heart; None leaves that out.
        steps: Of the pre-training from scratch.
        more_steps: Of MiniLM's pre-training.
        seeds: Of the fine-tuning.
    """

    folder: Path
    data: Path
    checkpoint: str
    sample: Path | None
    steps: int
    more_steps: int
    seeds: tuple[int, ...]

    def run(self, *, busy: bool = False, say: Callable[[str], None] = print) -> str:
        """Make the runs that have not ended, and write the page and the plot beside the folder.

        Raises:
            BertmodError: If a recipe or the data is wrong.
            OSError: If a file is missing or cannot be written.
            RunFailed: If a run fails; the same call begins it anew.
        """
        corpus = self.corpus
        say(f"corpus: {corpus.words[0]:,} and {corpus.words[1]:,} words")
        self._pretrain("scratch", _scratch(self.vocab, self.steps), say)
        self._pretrain("continued", _continued(self.checkpoint, self.more_steps), say)
        if self.sample is not None:
            self._learn_by_heart(say)
        for task in EXAMPLES:
            for seed in self.seeds:
                for start in ("pretrained", "scratch"):
                    self._example(task, start, seed, say)
        return self._save(busy=busy)

    @cached_property
    def corpus(self) -> Corpus:
        """The files of text."""
        return write_corpus(self.data, self.folder / "corpus")

    @cached_property
    def vocab(self) -> Path:
        """The vocabulary, learnt from the training text."""
        path = self.folder / "vocab.txt"
        if not path.is_file():
            options = ("--size", str(VOCAB_SIZE), "--output", str(path))
            self._bertmod("vocab", str(self.corpus.train), *options, name="vocab")
        return path

    def _pretrain(self, name: str, recipe: Mapping[str, Any], say: Callable[[str], None]) -> None:
        data = {"dir": str(self.folder / "corpus"), "max_length": 128}
        task = {"name": "pretraining", "train": ["train.txt"], "dev": "dev.txt"}
        self._train(f"pretraining-{name}", {"data": data, "tasks": [task], **recipe}, say)

    def _learn_by_heart(self, say: Callable[[str], None]) -> None:
        """Static masks, and evaluated on what is trained on: as in the README of Google."""
        rows = self.folder / "sample"
        vocab = Path(self.checkpoint) / "vocab.txt"
        if not rows.is_dir():
            options = ("--vocab", str(vocab), "--output", str(rows))
            self._bertmod("pretraining-data", str(self.sample), *options, name="sample-rows")
        recipe = _continued(self.checkpoint, 300)
        task = {"name": "pretraining", "train": ["sample"], "dev": "sample"}
        task["masking"] = {"kind": "static"}
        recipe["schedule"] = {"name": "constant", "warmup_proportion": 0.1}
        recipe["evaluation"] = {"every_steps": 10}
        data = {"dir": str(self.folder), "max_length": 128}
        self._train("sample-learnt", {"data": data, "tasks": [task], **recipe}, say)

    def _example(self, task: str, start: str, seed: int, say: Callable[[str], None]) -> None:
        recipe: dict[str, Any] = {
            "seed": seed,
            "data": {"dir": str(self.data), "max_length": 128},
            "encoder": {**ENCODER, **_dropout(0.1)},
            "tasks": [{"name": task}],
            "optimizer": {"name": "adamw", "learning_rate": TASK_RATE},
            **_length(EXAMPLES[task]),
        }
        if start == "pretrained":
            final = self.folder / "runs" / "pretraining-scratch" / "final"
            recipe["checkpoint"] = {"name": "auto", "path": str(final)}
        else:
            recipe["tokenizer"] = {"name": "wordpiece", "vocab": str(self.vocab)}
        self._train(f"{task}-{start}-{seed}", recipe, say)

    def _train(self, name: str, recipe: Mapping[str, Any], say: Callable[[str], None]) -> None:
        """Make a run that has not ended."""
        run, path = self.folder / "runs" / name, self.folder / "recipes" / f"{name}.json"
        clock = self.folder / "seconds" / f"{name}.json"
        if clock.is_file():
            return
        values = {"schema_version": 1, **recipe}
        resolve(values, load_registry())
        for folder in (path.parent, clock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values, indent=2) + "\n", "utf-8")
        resumed = ("--resume",) if (run / "recipe.json").is_file() else ()
        seconds = self._bertmod("run", str(path), "--output", str(run), *resumed, name=name)
        clock.write_text(json.dumps({"seconds": seconds, "in_one_go": not resumed}), "utf-8")
        say(f"{name}: {seconds:.0f} s")

    def _save(self, *, busy: bool) -> str:
        """Write the page of all runs and the plot, and return the page."""
        notes = [*NOTES, *([BUSY] if busy else [])]
        facts = {**surroundings(), "notes": notes}
        curves = self._curves()
        examples = {
            task: {
                start: [self._score(task, start, seed) for seed in self.seeds]
                for start in ("pretrained", "scratch")
            }
            for task in EXAMPLES
        }
        text = page(self.corpus, facts, curves, learnt=self._learnt(), examples=examples)
        values = {
            **facts,
            "evaluations": {name: scores for name, (_, scores) in curves.items()},
            "examples": examples,
        }
        save_page(self.folder.with_suffix(".json"), json.dumps(values, indent=2) + "\n", text)
        draw_curves([each for each, _ in curves.values()], self.folder.with_suffix(".svg"))
        return text

    def _curves(self) -> dict[str, tuple[Curve, list[dict[str, float]]]]:
        vocabs = {"scratch": str(self.vocab), "continued": str(Path(self.checkpoint) / "vocab.txt")}
        curves = {}
        for name, vocab in vocabs.items():
            scores = evaluations(self.folder / "runs" / f"pretraining-{name}")
            base = unigram(self.corpus, vocab=vocab)
            seconds = self._seconds(f"pretraining-{name}")
            curves[name] = (curve(TITLES[name], scores, seconds, base), scores)
        return curves

    def _seconds(self, name: str) -> float:
        clock = json.loads((self.folder / "seconds" / f"{name}.json").read_text("utf-8"))
        return float(clock["seconds"])

    def _learnt(self) -> str | None:
        """How many steps the sample took."""
        if self.sample is None:
            return None
        scores = evaluations(self.folder / "runs" / "sample-learnt")
        enough = [each for each in scores if each["masked_lm_accuracy"] > ENOUGH]
        best = max(each["masked_lm_accuracy"] for each in scores)
        if not enough:
            return f"After {scores[-1]['step']} steps the best masked accuracy is {best:.3f}."
        first = enough[0]
        return (
            f"Masked accuracy on {self.sample.name} passes {ENOUGH} after {first['step']} steps of "
            f"32 rows ({first['masked_lm_accuracy']:.3f}; the masks are those trained on)."
        )

    def _score(self, task: str, start: str, seed: int) -> float:
        lines = (self.folder / "runs" / f"{task}-{start}-{seed}" / "metrics.jsonl").read_text(
            "utf-8"
        )
        events = [json.loads(line) for line in lines.splitlines()]
        scores = [event["scores"] for event in events if event["event"] == "evaluation"]
        return float(scores[-1][f"{task}/dev/accuracy"])

    def _bertmod(self, *words: str, name: str) -> float:
        log = self.folder / "logs" / f"{name}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        return timed((sys.executable, "-m", "bertmod", *words), log=log)


def _scratch(vocab: Path, steps: int) -> dict[str, Any]:
    return {
        # So small an encoder cannot learn the text by heart.
        "encoder": {**ENCODER, **_dropout(0.0)},
        "tokenizer": {"name": "wordpiece", "vocab": str(vocab)},
        "optimizer": {"name": "adamw", "learning_rate": FRESH_RATE, "betas": [0.9, 0.98]},
        **_length(steps),
    }


def _continued(checkpoint: str, steps: int) -> dict[str, Any]:
    return {
        "checkpoint": {"name": "auto", "path": checkpoint},
        "optimizer": {"name": "adamw", "learning_rate": RATES},
        **_length(steps),
    }


def _dropout(p: float) -> dict[str, float]:
    return {"hidden_dropout_prob": p, "attention_probs_dropout_prob": p}


def _length(steps: int) -> dict[str, Any]:
    return {
        "schedule": {"name": "linear", "warmup_proportion": 0.1},
        "training": {
            "num_epochs": 1,
            "steps_per_epoch": steps,
            "global_batch_size": 32,
            "device": "cpu",
        },
        "evaluation": {"every_steps": max(1, steps // 30)},
        "saving": {"keep": 1},
        "trackers": [{"name": "jsonl"}],
    }
