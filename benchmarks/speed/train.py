"""Training steps: all of the model, adapters on a frozen encoder, and PALs of eight tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adapters import HOULSBY, LORA
from benchmarks.settings import FineTuning
from benchmarks.speed import targets
from benchmarks.speed.contest import Contender, Group, Ratio, Staff
from benchmarks.speed.page import SHARE
from benchmarks.speed.pairs import (
    LABELS,
    Pair,
    drawn,
    lengthened,
    read_pairs,
    slot,
    write_table,
    write_tokens,
)
from benchmarks.speed.shapes import WIDTHS, operations

STEPS = {"minilm": 32, "base": 16, "large": 8}
"""Steps of a round."""

NUM_TASKS = 8

BARE = "products and AdamW alone"
"""No training: what a step of ``bertmod auto`` would take that were nothing else."""

WEIGHTS, FROZEN, PALS = "All of the model", "Adapters on a frozen encoder", "PALs of eight tasks"

PEER_WAYS = {
    "fp32 padded": "the originals' way",
    "fp32": "transformers' default",
    "bf16": "transformers, bf16 autocast",
    "bf16 grouped": "transformers at its best",
}
"""Ways of ``transformers_steps.py`` to what the page calls the comparison."""

NOTES = (
    "A round is a step on every one of {steps} batches of {batch_size} rows of MRPC, {tokens:,} "
    "tokens of real text, {mean_length:.1f} a row, at most {length}; all train on the same rows, "
    "each in an order of its own. Dropout 0.1, AdamW with weight decay (fused in the peers), "
    "gradients clipped at 1 by their global norm. Making batches counts, reading rows does not. "
    "Peers are plain loops around their models, without the Trainer's bookkeeping.",
    f"Computed: tokens that went through the model for each real one. {SHARE}",
    "transformers: dynamic padding to a batch's longest row; padded: to {length} tokens; grouped: "
    "rows of similar length in a batch, sorted in windows of 50 batches, as its group_by_length.",
    f"`{BARE}`: no training, but the matrix products that `bertmod auto` asks torch for, one after "
    "another on buffers of their sizes, and torch's fused AdamW.",
    "`bertmod plain` is `training.fast: false`. Bert-n-Pals cannot be run on these versions; in "
    "its place stands bertmod's own plain path in fp32, on rows lengthened to {length} tokens: "
    "padding costs what tokens cost.",
)


@dataclass(frozen=True)
class Load:
    """What is trained on.

    Attributes:
        shape: Key of ``WIDTHS``.
        checkpoint: Weights of the shape.
        folder: Working files.
        steps: Steps of a round.
        settings: Hyper-parameters.
        lengths: Tokens of each row, (rows,), int64.
    """

    shape: str
    checkpoint: str
    folder: Path
    steps: int
    settings: FineTuning
    lengths: np.ndarray

    @property
    def expected(self) -> dict[str, float]:
        """What every round is of."""
        return {"rows": len(self.lengths), "tokens": int(self.lengths.sum())}

    def recipe(
        self, slots: Sequence[Mapping[str, Any]], *, adapters: Sequence[Any] = (), **more: Any
    ) -> dict[str, Any]:
        """A recipe of tasks, which would go on for longer than any measurement."""
        recipe = self.settings.recipe(
            slots[0],
            data=str(self.folder),
            checkpoint=self.checkpoint,
            seed=1,
            adapters=adapters,
            **more,
        )
        recipe["tasks"] = [dict(each) for each in slots]
        recipe["training"] |= {"num_epochs": 10_000, "steps_per_epoch": self.steps}
        return recipe

    def own(self, *changes: str, recipe: Mapping[str, Any] | None = None) -> Staff:
        """A worker of bertmod: a recipe, that of the pairs otherwise, and what is set in it."""
        given = recipe or self.recipe([slot(self.folder / "pairs.jsonl")])
        settings = {"recipe": given, "changes": changes, "steps": self.steps}
        return Staff("bertmod_steps", settings)

    def peer(self, peer: str, method: str | None = None, **options: Any) -> Staff:
        """A worker of a peer."""
        settings = {
            **asdict(self.settings),
            "checkpoint": self.checkpoint,
            "rows": str(self.folder / "rows.json"),
            "labels": LABELS,
            "seed": 1,
            "method": method,
            **options,
        }
        return Staff("transformers_steps", settings, peer)

    def bare(self) -> Staff:
        """A worker of the matrix products of ``own`` and of AdamW."""
        return Staff("bare_steps", self.own().settings)

    def contender(
        self,
        name: str,
        *,
        worker: str,
        way: str = "",
        passes: int = 3,
        added: int = 0,
        trimmed: bool | None = None,
    ) -> Contender:
        """A contender that trains on the rows.

        Args:
            name: Its name.
            worker: Its worker.
            way: What that is told; its first word is the precision, bertmod's worker tells itself.
            passes: As ``encoder_passes`` of ``operations``.
            added: Weights of adapters that a token meets in each layer.
            trimmed: As ``operations`` takes it; None: as bertmod trains, if it is bertmod's.
        """
        work = operations(
            self.lengths,
            self.shape,
            encoder_passes=passes,
            added_weights=added,
            trimmed=not way if trimmed is None else trimmed,
        )
        return Contender(
            name=name,
            worker=worker,
            units=float(self.lengths.sum()),
            way=way,
            precision=way.split()[0] if way else "auto",
            operations=work,
            expected=self.expected,
        )


def load(
    data: Path, weights: str, folder: Path, *, shape: str, steps: int | None, batch_size: int = 32
) -> tuple[Load, list[Pair]]:
    """Write the rows of a round.

    Args:
        data: Folder that has MRPC/.
        weights: Weights of the shape.
        folder: Working files.
        shape: Key of ``WIDTHS``.
        steps: Steps of a round; None: as many as the shape has.
        batch_size: Rows of a step.

    Raises:
        DataError: If MRPC cannot be read.
    """
    settings, num = FineTuning(batch_size=batch_size), steps or STEPS[shape]
    pairs = drawn(read_pairs(data, weights), num * batch_size)
    table = write_table(pairs, folder / "pairs.jsonl")
    lengths = write_tokens(table, weights, folder / "rows.json")
    return Load(shape, weights, folder, num, settings, lengths), pairs


def groups(
    work: Load, pairs: list[Pair], *, kind: str, variants: Mapping[str, Sequence[str]]
) -> list[Group]:
    """What is measured.

    Args:
        work: What is trained on.
        pairs: Its rows.
        kind: The machine's bf16 instructions.
        variants: Name of a further contender of bertmod's to what is set in its recipe.
    """
    long = [_full_rows(work, pairs, kind)] if kind == targets.GPU else []
    return [
        _all_weights(work, kind, variants),
        *long,
        _frozen(work, kind),
        _pals(work, pairs, kind),
    ]


def notes(work: Load) -> list[str]:
    """The notes of the page."""
    values = {
        "steps": work.steps,
        "batch_size": work.settings.batch_size,
        "tokens": int(work.lengths.sum()),
        "mean_length": float(work.lengths.mean()),
        "length": work.settings.max_length,
    }
    return [note.format(**values) for note in NOTES]


def shown(work: Load) -> dict[str, Any]:
    """Hyper-parameters, for the page."""
    return {name: value for name, value in asdict(work.settings).items() if name != "num_epochs"}


def _all_weights(work: Load, kind: str, variants: Mapping[str, Sequence[str]]) -> Group:
    own = {
        "bertmod auto": (),
        "bertmod fp32": ('training.precision="fp32"',),
        "bertmod plain": (NOT_FAST,),
        **{name: tuple(changes) for name, changes in variants.items()},
    }
    staff = {name: work.own(*changes) for name, changes in own.items()}
    staff["transformers"], staff[BARE] = work.peer("transformers"), work.bare()
    peers = {way: f"transformers {way}" for way in PEER_WAYS}
    share = targets.training(kind, work.shape, "share")
    return Group(
        WEIGHTS,
        staff,
        [
            *(
                work.contender(name, worker=name, trimmed=NOT_FAST not in changes)
                for name, changes in own.items()
            ),
            *(work.contender(name, worker="transformers", way=way) for way, name in peers.items()),
            work.contender(BARE, worker=BARE),
        ],
        [
            *(
                Ratio(title, "bertmod auto", peers[way], targets.training(kind, work.shape, way))
                for way, title in PEER_WAYS.items()
            ),
            Ratio("fp32 beside fp32", "bertmod fp32", peers["fp32"]),
            Ratio("fast path", "bertmod auto", "bertmod plain"),
            Ratio("what more a step could gain", BARE, "bertmod auto"),
            *(Ratio("variant", name, "bertmod auto") for name in variants),
        ],
        {} if share is None else {"bertmod auto": share},
    )


def _full_rows(work: Load, pairs: list[Pair], kind: str) -> Group:
    """Rows that are as long as there may be, so that nobody has padding to save."""
    length = work.settings.max_length
    folder = work.folder / "full"
    table = write_table(lengthened(pairs, length), folder / "pairs.jsonl")
    full = replace(
        work, folder=folder, lengths=write_tokens(table, work.checkpoint, folder / "rows.json")
    )
    own, theirs = f"bertmod {length}", f"transformers bf16 {length}"
    target = targets.training(kind, work.shape, f"bf16 {length}")
    return Group(
        f"Rows of {length} tokens",
        {own: full.own(), theirs: full.peer("transformers")},
        [
            full.contender(own, worker=own),
            full.contender(theirs, worker=theirs, way="bf16"),
        ],
        [Ratio(PEER_WAYS["bf16"], own, theirs, target)],
    )


def _frozen(work: Load, kind: str) -> Group:
    width, rank = WIDTHS[work.shape][0] // 16, LORA.options["rank"]
    hidden, pairs = WIDTHS[work.shape][0], slot(work.folder / "pairs.jsonl")
    methods = {
        "houlsby": ({**HOULSBY.adapter, "bottleneck_size": width}, 4 * hidden * width),
        "lora": (LORA.adapter, 4 * hidden * rank),
    }
    theirs = {
        "houlsby": work.peer("adapters", HOULSBY.program, bottleneck_size=width),
        "lora": work.peer("peft", LORA.program, **LORA.options),
    }
    staff, contenders = {"bertmod full": work.own()}, []
    contenders.append(work.contender("bertmod full", worker="bertmod full"))
    ratios = []
    for name, (adapter, added) in methods.items():
        peer = f"{theirs[name].peer} {name}"
        staff[peer] = theirs[name]
        for precision in ("auto", "fp32"):
            own, theirs_way = f"bertmod {name} {precision}", precision.replace("auto", "bf16")
            recipe = work.recipe([pairs], adapters=[adapter], freeze="encoder", precision=precision)
            staff[own] = work.own(recipe=recipe)
            frozen = {"passes": 2, "added": added}
            contenders += [
                work.contender(own, worker=own, **frozen),
                work.contender(f"{peer} {theirs_way}", worker=peer, way=theirs_way, **frozen),
            ]
            target = targets.training(kind, work.shape, f"{name} {theirs_way}")
            # The target over fp32 is bertmod's own choice of precision over theirs.
            title = f"{name}, theirs in {theirs_way}"
            ratios.append(Ratio(title, f"bertmod {name} auto", f"{peer} {theirs_way}", target))
            if precision == "fp32":
                ratios.append(Ratio(f"{name}, both in fp32", own, f"{peer} fp32"))
        title = f"{name} with a frozen encoder over full fine-tuning"
        ratios.append(Ratio(title, f"bertmod {name} auto", "bertmod full", targets.FROZEN))
    return Group(FROZEN, staff, contenders, ratios)


def _pals(work: Load, pairs: list[Pair], kind: str) -> Group:
    """A step is on one task; each has its own part of the rows, so that all rows are trained on."""
    hidden, _, heads = WIDTHS[work.shape]
    size, per_task = hidden * 204 // 768, len(pairs) // NUM_TASKS
    adapter = {"name": "pals", "bottleneck_size": size, "num_heads": num_heads(size, heads)}
    adapters = [adapter]
    ways = {"bertmod PALs auto": pairs, "padded plain fp32": lengthened(pairs, 128)}
    staff = {}
    for name, rows in ways.items():
        tables = [
            write_table(
                rows[number * per_task : (number + 1) * per_task],
                work.folder / f"{name.replace(' ', '-')}-{number}.jsonl",
            )
            for number in range(NUM_TASKS)
        ]
        slots = [slot(table, id_=f"task_{number}") for number, table in enumerate(tables)]
        recipe = work.recipe(slots, adapters=adapters)
        recipe["sampler"] = {"name": "round_robin"}
        changes = () if rows is pairs else PLAIN
        staff[name] = work.own(*changes, recipe=recipe)
    added = 2 * hidden * size + 3 * size**2
    mine, other = (
        work.contender(name, worker=name, added=added, trimmed=rows is pairs)
        for name, rows in ways.items()
    )
    padded = {"rows": len(pairs), "tokens": len(pairs) * work.settings.max_length}
    other = Contender(**{**vars(other), "expected": padded, "precision": "fp32"})
    target = targets.training(kind, work.shape, "pals")
    return Group(
        PALS,
        staff,
        [mine, other],
        [Ratio("Bert-n-Pals' way", mine.name, other.name, target)],
    )


NOT_FAST = "training.fast=false"

PLAIN = (
    NOT_FAST,
    'training.precision="fp32"',
    'training.layout="padded"',
    "data.bucket_window=1",
)
"""What is set for the stand-in of a padded fp32 loop."""


def num_heads(size: int, most: int) -> int:
    """The largest number of attention heads that divides a width, up to some."""
    return next(number for number in range(most, 0, -1) if size % number == 0)
