"""Which tasks of a trained run are exported, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bertmod.contracts.encoder import Encoder
from bertmod.contracts.tokenizer import Tokenizer
from bertmod.errors import CheckpointError, DataError
from bertmod.inference.states import SavedState, Source, choose_tasks, run_recipe, saved_states
from bertmod.inference.trained import TrainedRun, load_run
from bertmod.model.record import TaskRecord
from bertmod.registry import Entry, Registry
from bertmod.specs import ExporterSpec
from bertmod.wording import listed


@dataclass(frozen=True)
class ExportPlan:
    """What is exported, and how.

    Attributes:
        exporter: The exporter.
        config: Its options.
        tasks: Ids of tasks; none means all that have a head of their own.
        source: Which state of the run.
        max_length: Longest row, tokens; None: the longest of the tasks'.
        check: Whether what was written is run and compared with the model.
        data: Data folder of the rows that are scored; None: the one that the run was trained on.
            Named, it has an exact exporter scored, too.
    """

    exporter: Entry[ExporterSpec]
    config: Any
    tasks: tuple[str, ...] = ()
    source: Source = "mean"
    max_length: int | None = None
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
        registry: What is installed.
        plan: What was asked for.
        recipe: JSON values of the run's recipe.
        trained: The run, on the CPU.
        state: The state that is exported.
        records: Id of each task, in order, to what is kept of it; of one that borrows, its
            lender's.
        max_length: Longest row, tokens.
    """

    run: Path
    registry: Registry
    plan: ExportPlan
    recipe: Mapping[str, Any]
    trained: TrainedRun
    state: SavedState
    records: Mapping[str, TaskRecord]
    max_length: int

    @property
    def tasks(self) -> tuple[str, ...]:
        """Their ids."""
        return tuple(self.records)

    @property
    def tokenizer(self) -> Tokenizer:
        """The run's tokenizer."""
        return self.trained.task(self.tasks[0]).context.tokenizer

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
        DataError: If the run has no such task, or the encoder no such length.
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
    limit = cast(Encoder, trained.model(tasks[0]).encoder).shape.max_length
    asked = plan.max_length
    if asked is not None and asked > limit:
        raise DataError(f"--max-length {asked}: the encoder has positions for {limit} tokens")
    owners = {task: uses[task] or task for task in tasks}
    states = saved_states(run, plan.source)
    state = next(each for each in states if owners[tasks[0]] in each.tasks)
    return ChosenTasks(
        run=run,
        registry=registry,
        plan=plan,
        recipe=recipe,
        trained=trained,
        state=state,
        records={task: state.records[owner] for task, owner in owners.items()},
        max_length=asked or max(trained.task(task).slot.max_length for task in tasks),
    )
