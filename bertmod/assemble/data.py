"""Tasks, examples and features of a resolved recipe."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import platformdirs

from bertmod.contracts.encoder import EncoderShape
from bertmod.contracts.head import TaskInfo
from bertmod.contracts.metric import Metric, higher_is_better
from bertmod.contracts.task import Example, Task, TaskContext
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.cache import cached_features
from bertmod.data.features import FeatureTable
from bertmod.data.known_tokens import require_known_tokens
from bertmod.data.training_rows import Phase, PhasedTask
from bertmod.engine.evaluate import TaskSplit
from bertmod.engine.seeding import generator
from bertmod.engine.tasks import TrainingTask
from bertmod.errors import DataError
from bertmod.recipe.foundation import cached_sample
from bertmod.recipe.resolved import ResolvedRecipe, ResolvedTask
from bertmod.recipe.schema import SAMPLE
from bertmod.registry import Registry
from bertmod.wording import counted

_MOST_LABELS = 20


@dataclass(frozen=True)
class PreparedTask:
    """A task bound to its data.

    Attributes:
        slot: Its slot.
        task: The task.
        info: Label names or value range; those of the lender where it borrows.
        data: Its data folder; None where it answers without any.
        context: What the task was built with.
        seed: The run's seed.
        shape: The encoder's shape.
    """

    slot: ResolvedTask
    task: Task
    info: TaskInfo
    data: Path | None
    context: TaskContext
    seed: int
    shape: EncoderShape

    @property
    def _folder(self) -> Path:
        if self.data is None:
            raise ValueError(f"task {self.slot.id} was prepared without data")
        return self.data

    def files(self, split: str) -> tuple[Path, ...]:
        """The files that a split is read from."""
        return self.task.files(self._folder, split)

    def splits(self, role: str) -> tuple[str, ...]:
        """Names of the splits of a role, in the task's order."""
        return tuple(name for name, found in self.task.splits.items() if found == role)

    def features(self, split: str, examples: Sequence[Example] | None = None) -> FeatureTable:
        """Features of a split, from the cache where the task allows it.

        Args:
            split: Name of the split.
            examples: Its examples if they were read already.

        Raises:
            DataError: If the split cannot be read, or the encoder does not know its tokens.
        """

        def make() -> FeatureTable:
            read = self.task.read(split) if examples is None else examples
            return self.make_features(list(read) if not isinstance(read, Sequence) else read)

        if not self.task.cacheable:
            return make()
        files = self.files(split)
        names = [os.path.relpath(path, self._folder) for path in files]  # these may be labels
        key = {
            "tokenizer": self.context.tokenizer.fingerprint,
            "task": json.dumps(self.slot.config.model_dump(mode="json"), sort_keys=True),
            "name": self.slot.full_name,
            "version": self.slot.version,
            "split": split,
            "labels": json.dumps(self.info.labels),
            "max_length": str(self.context.max_length),
            "strict_data": str(self.context.strict_data),
            "files": json.dumps(names),
        }
        table = cached_features(
            features_cache(),
            files=files,
            key=key,
            make=make,
            warn_again=(lambda: self.task.read(split)) if examples is None else None,
        )
        return self._known(table)

    def phases(self) -> list[Phase]:
        """What the task trains on, one phase after another.

        Raises:
            DataError: If a split cannot be read.
        """
        if isinstance(self.task, PhasedTask):
            return list(self.task.phases(self.seed))
        tables = [self.features(split) for split in self.splits("train")]
        return [Phase(FeatureTable.concatenate(tables))]

    def make_features(self, examples: Sequence[Example]) -> FeatureTable:
        """Features of examples, made now.

        Raises:
            DataError: If the encoder does not know their tokens.
        """
        draws = []
        if not self.task.cacheable:
            draws = [
                generator(self.seed, "features", self.slot.id, 0, index)
                for index in range(len(examples))
            ]
        made = self.task.features(examples, self.info, draws)
        return self._known(
            made if isinstance(made, FeatureTable) else FeatureTable.from_features(made)
        )

    def _known(self, table: FeatureTable) -> FeatureTable:
        require_known_tokens(table, self.shape, owner=f"task {self.slot.id}")
        return table

    def split(self, name: str) -> TaskSplit:
        """A split with labels, ready to be scored."""
        read = self.task.read(name)
        examples = read if isinstance(read, Sequence) else list(read)
        baseline = self.task.baseline(examples)
        return TaskSplit(self.task, name, examples, self.features(name, examples), baseline)


def cache_folder() -> Path:
    """Where bertmod keeps what it can make again."""
    return Path(platformdirs.user_cache_dir("bertmod"))


def features_cache() -> Path:
    """Where tokenised features are kept."""
    return cache_folder() / "features"


def data_folder(recipe: ResolvedRecipe) -> Path:
    """The recipe's data folder; the built-in sample is generated if it is not there yet.

    Raises:
        DataError: If the folder is missing.
    """
    return named_data_folder(recipe.data.dir or SAMPLE)


def named_data_folder(name: str) -> Path:
    """The folder that ``--data`` or ``data.dir`` names; ``sample`` is the built-in sample's.

    Raises:
        DataError: If the folder is missing.
    """
    if name == SAMPLE:
        return cached_sample()
    folder = Path(name)
    if not folder.is_dir():
        above = folder.parent
        near = f"\n  {above} has: {_listing(above)}" if above.is_dir() else ""
        what = "a file, not a data folder" if folder.is_file() else "no such data folder"
        raise DataError(f"{folder}: {what}{near}\n  name another with --data DIR")
    return folder


def prepare_tasks(
    recipe: ResolvedRecipe,
    registry: Registry,
    tokenizer: Tokenizer,
    *,
    strict_data: bool = False,
    infos: Mapping[str, TaskInfo] | None = None,
) -> dict[str, PreparedTask]:
    """Every task of a recipe, bound to its data unless it is trained already.

    Args:
        recipe: The recipe.
        registry: What is installed; metrics come from it.
        tokenizer: The run's tokenizer.
        strict_data: Whether a malformed train or dev row is an error.
        infos: Label names and value ranges of a trained model, which needs no data to answer;
            None fixes them from the data, and then tasks that train must find their train and
            dev files.

    Raises:
        DataError: If files are missing or cannot be read; it names those of every task.
    """
    folder = data_folder(recipe) if infos is None else None
    metrics = {
        entry.spec.name: cast(Metric, entry.spec.build(entry.spec.config()))  # type: ignore[attr-defined]
        for entry in registry.entries("metric")
    }
    prepared: dict[str, PreparedTask] = {}
    known, problems = dict(infos or {}), list[str]()
    for slot in sorted(recipe.tasks, key=lambda slot: not slot.trains):
        context = TaskContext(
            slot.id,
            tokenizer,
            slot.max_length,
            metrics,
            strict_data,
            trains=slot.trains,
            trained=infos is not None,
        )
        task = cast(Task, slot.spec.build(slot.config, context))
        if folder is not None:
            try:
                known.setdefault(slot.lender, task.setup(folder))
            except DataError as error:
                problems.append(str(error))
        if not problems:
            info = known[slot.lender]
            prepared[slot.id] = PreparedTask(
                slot, task, info, folder, context, recipe.seed, recipe.shape
            )
    if problems:
        raise DataError("\n".join(problems))
    return {slot.id: prepared[slot.id] for slot in recipe.tasks}


def main_metric(slot: ResolvedTask) -> str:
    """``split/metric`` that decides what a task's best state is; empty if it has no dev split."""
    if slot.keys.metric is not None:
        return slot.keys.metric
    metrics = slot.spec.metrics(slot.config)
    return next((f"{split}/{names[0]}" for split, names in metrics.items() if names), "")


def training_task(prepared: PreparedTask) -> TrainingTask:
    """A prepared task as the trainer sees it, its features made.

    Raises:
        DataError: If a split cannot be read or has no features.
    """
    slot, metric = prepared.slot, main_metric(prepared.slot)
    first, *later = prepared.phases()
    if not all(len(phase.rows) for phase in (first, *later)):
        raise DataError(f"task {slot.id}: its training data has no features")
    scored = slot.spec.metrics(slot.config)
    judged = metric.partition("/")[2]
    return TrainingTask(
        id=slot.id,
        train=first.rows,
        dev={split: prepared.split(split) for split in prepared.splits("dev") if split in scored},
        metric=metric,
        greater_is_better=higher_is_better(judged, prepared.context.metrics.get(judged)),
        loss_weight=slot.keys.loss_weight,
        batch_size=slot.keys.batch_size,
        patience=slot.patience,
        later=later,
    )


def found_labels(prepared: Iterable[PreparedTask]) -> list[str]:
    """A line for each task that trains and counted its labels: which they are, and how often."""
    lines = []
    for each in prepared:
        names, counts = each.info.labels, each.info.label_counts
        if names is None or counts is None or not each.slot.trains:
            continue
        shown = [f"{name} ({count:,})" for name, count in zip(names, counts, strict=True)]
        more = len(shown) - _MOST_LABELS
        told = ", ".join(shown[:_MOST_LABELS]) + (f" and {more:,} more" if more > 0 else "")
        lines.append(f"task {each.slot.id}: {counted(len(names), 'label')}: {told}")
    return lines


def found_texts(prepared: Iterable[PreparedTask]) -> list[str]:
    """What the tasks that train know of their training data, a line each."""
    lines = {
        f"task {each.slot.id}: {line}": None
        for each in prepared
        if each.slot.trains and isinstance(each.task, PhasedTask)
        for phase in each.task.phases(each.seed)
        for line in phase.about
    }
    return list(lines)


def data_files(prepared: Iterable[PreparedTask]) -> list[Path]:
    """Every train and dev file that the tasks read, each once."""
    found = {
        path: None
        for each in prepared
        for role in ("train", "dev")
        for split in each.splits(role)
        for path in each.files(split)
        if path.is_file()
    }
    return list(found)


def _listing(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return ", ".join(names[:12]) + (" ..." if len(names) > 12 else "") or "nothing"
