"""Which tasks of a trained run are exported, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertmod.assemble.data import PreparedTask, named_data_folder
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.data.folder import require_files
from bertmod.errors import CheckpointError
from bertmod.inference.states import SavedState, Source, choose_tasks, run_recipe, saved_states
from bertmod.inference.trained import TrainedRun, load_run
from bertmod.model.record import TaskRecord
from bertmod.recipe.opened import OpenedCheckpoint, open_checkpoint
from bertmod.registry import Entry, Registry
from bertmod.specs import ExporterSpec
from bertmod.wording import listed

OWN = "bertmod/bertmod"
"""The loader of what a run writes."""


@dataclass(frozen=True)
class ExportPlan:
    """What is exported, and how.

    Attributes:
        exporter: The exporter.
        config: Its options.
        tasks: Ids of tasks; none means all that have a head of their own.
        source: Which state of the run.
        check: Whether what was written is run and compared with the model.
        data: Data folder of the rows that are scored; None: the one that the run was trained on.
            Named, it has an exact exporter scored, too.
    """

    exporter: Entry[ExporterSpec]
    config: Any
    tasks: tuple[str, ...] = ()
    source: Source = "mean"
    check: bool = True
    data: str | None = None

    @property
    def scored(self) -> bool:
        """Whether dev rows are scored."""
        return self.check and (self.data is not None or not self.exporter.spec.exact)


@dataclass(frozen=True)
class ChosenTasks:
    """A run's tasks on their way out, all of one encoder.

    Attributes:
        run: The run folder.
        plan: What was asked for.
        recipe: JSON values of the run's recipe.
        trained: The run, on the CPU.
        state: The state that is exported.
        opened: Its encoder's folder.
        records: Id of each task, in order, to what is kept of it; of one that borrows, its
            lender's.
        scored: Tasks whose dev rows are scored, by id, bound to their data.
    """

    run: Path
    plan: ExportPlan
    recipe: Mapping[str, Any]
    trained: TrainedRun
    state: SavedState
    opened: OpenedCheckpoint
    records: Mapping[str, TaskRecord]
    scored: Mapping[str, PreparedTask]

    @property
    def tasks(self) -> tuple[str, ...]:
        """Their ids."""
        return tuple(self.records)

    @property
    def max_length(self) -> int:
        """Longest row that any of them makes, tokens."""
        return max(self.trained.task(task).slot.max_length for task in self.tasks)

    @property
    def tokenizer(self) -> Tokenizer:
        """The run's tokenizer."""
        return self.trained.task(self.tasks[0]).context.tokenizer

    @property
    def pipeline(self) -> str:
        """The tokenizer for the ``tokenizers`` library; empty if it has no such form."""
        slot = self.opened.tokenizer
        return slot.spec.pipeline(slot.config) if slot.spec.pipeline else ""

    @property
    def exporter(self) -> ExporterSpec:
        """The exporter's record."""
        return self.plan.exporter.spec


def choose(run: Path, plan: ExportPlan, registry: Registry) -> ChosenTasks:
    """The tasks that a plan names, loaded.

    Args:
        run: The run folder.
        plan: What is exported, and how.
        registry: What is installed.

    Raises:
        CheckpointError: If they have different encoders, or a file is damaged.
        DataError: If the run has no such task, or the data of rows to be scored cannot be used.
        RunFolderError: If it is no run folder, or has no such state.
    """
    trained = load_run(run, source=plan.source, registry=registry, device="cpu")
    recipe = run_recipe(run)
    uses = {slot["id"]: slot["uses"] for slot in recipe["tasks"]}
    tasks = choose_tasks(trained.tasks, plan.tasks)
    if not plan.tasks or "all" in plan.tasks:
        tasks = tuple(task for task in tasks if not uses[task])  # the others would say the same
    groups = trained.together(tasks)
    if len(groups) > 1:
        raise CheckpointError(
            f"{' and '.join(listed(group) for group in groups)} were kept with different "
            "encoders, and an export has one\n"
            "  export them apart with --task, or take --from mean or --from final"
        )
    owners = {task: uses[task] or task for task in tasks}
    states = saved_states(run, plan.source)
    state = next(each for each in states if owners[tasks[0]] in each.tasks)
    folder = str(recipe["data"]["dir"]) if plan.data is None else plan.data
    return ChosenTasks(
        run=run,
        plan=plan,
        recipe=recipe,
        trained=trained,
        state=state,
        opened=open_checkpoint(state.encoder, registry=registry, loader=OWN, tasks=()),
        records={task: state.records[owner] for task, owner in owners.items()},
        scored=_with_data(trained, tasks if plan.scored else (), folder),
    )


def _with_data(trained: TrainedRun, tasks: Sequence[str], data: str) -> dict[str, PreparedTask]:
    """The tasks that have dev rows, bound to a data folder in which these are.

    Raises:
        DataError: If the folder, or a file of dev rows, is missing.
    """
    found = {}
    for task in tasks:
        folder = named_data_folder(data)
        splits = trained.task(task).splits("dev")
        files = [path for split in splits for path in trained.files(task, split, folder)]
        require_files(folder, files, owner=f'task "{task}"')
        if splits:
            found[task] = trained.bound(task, folder)
    return found
