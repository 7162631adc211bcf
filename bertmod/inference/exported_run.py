"""A trained run whose answers come from exported files: in 8 bits on onnxruntime, for example."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from bertmod.contracts.exporter import Exported
from bertmod.contracts.task import Example, Prediction
from bertmod.errors import CheckpointError, DataError
from bertmod.inference.export_record import EXPORT_FILE
from bertmod.inference.exported import ExportedModel
from bertmod.inference.progress import Advance
from bertmod.inference.states import SavedState, Source, run_recipe, saved_states
from bertmod.inference.trained import TrainedRun, _Loaded
from bertmod.model.multitask import MultiTaskModel
from bertmod.model.padded import PaddedModel
from bertmod.registry import Registry, load_registry
from bertmod.specs import ExporterSpec
from bertmod.wording import listed


@dataclass(frozen=True)
class OpenedExport:
    """A folder that ``bertmod export`` wrote, ready to be run.

    Attributes:
        folder: The folder.
        values: What its ``export.json`` says.
        exported: Its files.
    """

    folder: Path
    values: Mapping[str, Any]
    exported: Exported

    @property
    def tasks(self) -> tuple[str, ...]:
        """Ids of the tasks that it answers, in order."""
        return tuple(self.values["tasks"])

    def changes(self, tasks: Collection[str] = ()) -> Iterator[str]:
        """What was lost when it was made: a line for each dev score, its own and the model's.

        Args:
            tasks: Ids of the tasks to tell of; all where none of them is its own.
        """
        asked = [task for task in self.tasks if task in tasks] or self.tasks
        for task, split, metric, before, after, change in self.values.get("scores", ()):
            if task in asked:
                yield f"{task} {split}/{metric}: {after} ({change} against {before} in fp32)"

    def in_place_of(self, model: MultiTaskModel) -> ExportedModel:
        """A model whose forward is that of the files.

        Raises:
            CheckpointError: If they were not made of a model with these outputs.
        """
        tasks = [task for task in self.tasks if task in {*model.tasks, *model.uses}]
        outputs = PaddedModel(model, tasks).outputs if tasks else ()
        stated = {each["name"] for each in self.values["outputs"]}
        if len(tasks) < len(self.tasks) or stated != {output.name for output in outputs}:
            raise CheckpointError(f"{self.folder}: exported from another run than this one")
        return ExportedModel(model, self.exported, outputs)


def open_export(folder: Path, registry: Registry) -> OpenedExport:
    """Read a folder that ``bertmod export`` wrote.

    Args:
        folder: The folder.
        registry: What is installed; the exporter is found in it.

    Raises:
        CheckpointError: If it is no such folder, a file is damaged, or its exporter runs nothing.
    """
    path = folder / EXPORT_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        name = values["exporter"]["name"]
        outputs, tasks = values["outputs"], values["tasks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = "not a folder that bertmod export wrote"
        raise CheckpointError(f"{folder}: {what} ({EXPORT_FILE}: {error})") from error
    spec = cast(ExporterSpec, registry.get("exporter", name).spec)
    if spec.open is None or not outputs or not tasks:
        raise CheckpointError(f"{folder}: {name} does not say how its files are run again")
    try:
        return OpenedExport(folder, values, spec.open(folder))
    except Exception as error:  # a library that is missing, or refuses the file
        raise CheckpointError(f"{folder}: {name} cannot run it: {error}") from error


class ExportedRun(TrainedRun):
    """The tasks of a run that an export answers; nothing but answering is another's.

    Args:
        recipe: The run's recipe.
        registry: What is installed.
        states: Its saved states; those that the export was made of.
        export: The export.
        strict_data: Whether a malformed dev row is an error.
    """

    def __init__(
        self,
        recipe: Mapping[str, Any],
        registry: Registry,
        states: Sequence[SavedState],
        export: OpenedExport,
        *,
        strict_data: bool = False,
    ) -> None:
        super().__init__(recipe, registry, states, device="cpu", strict_data=strict_data)
        self.export = export

    @property
    def tasks(self) -> tuple[str, ...]:
        """Ids of the tasks that the export answers."""
        return tuple(task for task in super().tasks if task in self.export.tasks)

    def predict_all(
        self, examples: Mapping[str, Sequence[Example]], *, advance: Advance | None = None
    ) -> dict[str, list[Prediction]]:
        """As ``TrainedRun.predict_all`` answers, task after task."""
        return {task: self.predict(task, rows, advance=advance) for task, rows in examples.items()}

    def _build(self, state: SavedState) -> _Loaded:
        loaded = super()._build(state)
        settings = replace(loaded.settings, precision="fp32", layout="packed")
        model = self.export.in_place_of(loaded.model)
        return replace(loaded, model=model, settings=settings)


def load_exported_run(
    run: Path | str,
    folder: Path | str,
    *,
    source: Source = "mean",
    registry: Registry | None = None,
    strict_data: bool = False,
) -> ExportedRun:
    """A run folder as something that predicts with exported files.

    Args:
        run: The run folder: tasks, tokenizer and labels are its own.
        folder: What ``bertmod export`` made of it.
        source: The state that was exported.
        registry: What is installed; None looks.
        strict_data: Whether a malformed dev row is an error.

    Raises:
        RunFolderError: If it is no run folder, or the run has no such state yet.
        CheckpointError: If the export is damaged, or of another state.
        DataError: If the run has none of its tasks.
    """
    found = registry or load_registry()
    export = open_export(Path(folder), found)
    states = saved_states(Path(run), source)
    stated = export.values.get("encoder_hash")
    own = [state for state in states if stated in (None, state.encoder_hash)]
    if not own:
        raise CheckpointError(
            f"{folder}: exported from another state than this of {run}\n"
            "  name the state that was exported with --from, or export this one"
        )
    ready = ExportedRun(run_recipe(Path(run)), found, own, export, strict_data=strict_data)
    if not ready.tasks:
        raise DataError(f"{folder}: its tasks are {listed(export.tasks)}, none of them of {run}")
    return ready
