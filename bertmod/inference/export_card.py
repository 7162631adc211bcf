"""The README beside exported files."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bertmod import __version__
from bertmod.engine.run_folder import LOCK_FILE
from bertmod.errors import DataError
from bertmod.inference.export_record import EXPORT_FILE, INPUTS, Export, bare_paths, output_axes
from bertmod.model.card import ModelCard, TaskCard
from bertmod.model.record import read_encoder_record, read_json

LIBRARIES = ("torch", "numpy", "onnx", "onnxscript", "onnxruntime")


def export_card(export: Export) -> ModelCard:
    """What the README says.

    Args:
        export: What came of the export.
    """
    chosen, state = export.chosen, export.chosen.state
    encoder = read_encoder_record(state.encoder)
    first = next(iter(chosen.records.values()))
    lock = _lock(chosen.run)
    return ModelCard(
        title=f"{chosen.run.absolute().name}, exported to {export.name}",
        made_from="\n".join(_story(export)),
        encoder=encoder["encoder"],
        tokenizer=bare_paths(encoder["tokenizer"]),
        encoder_hash=state.encoder_hash,
        num_parameters=_size(export.padded.model.encoder),
        tasks=tuple(_task_card(task, export, lock) for task in chosen.tasks),
        recipe=chosen.recipe,
        recipe_hash=first.recipe_hash,
        versions=_versions(export),
        use=_use(export),
        synthetic=bool(lock.get("synthetic_sample")),
    )


def _story(export: Export) -> Iterator[str]:
    """How the files came to be, and what was found when they were run."""
    yield (
        f"The trained tasks of a run of bertmod, exported with `{export.name}`: "
        f"{'; '.join(export.exported.notes)}. Rows have up to {export.chosen.max_length} tokens."
    )
    if export.difference is not None:
        yield (
            f"Logits differ from the model's by up to {export.difference:.1e}, measured on rows "
            "of random tokens."
        )
    if export.scores:
        yield ""
        yield f"| task | split | metric | fp32 | {export.name} | change |"
        yield "|---|---|---|---:|---:|---:|"
        for each in export.scores:
            yield f"| {' | '.join(each.cells())} |"


def _use(export: Export) -> str:
    """How to run the files, and what goes in and comes out."""
    inputs = [f"- `{name}`, int64, (batch, length): {told}" for name, told in INPUTS.items()]
    outputs = [
        f"- `{each['name']}`, {each['dtype']}, ({', '.join(map(str, each['shape']))}): "
        f"the logits of task {each['task']}"
        for each in map(output_axes, export.padded.outputs)
    ]
    told = [
        *([export.exported.use, ""] if export.exported.use else []),
        f"Inputs and outputs, which `{EXPORT_FILE}` lists with the label names:",
        "",
        *inputs,
        *outputs,
    ]
    return "\n".join(told)


def _task_card(task: str, export: Export, lock: Mapping[str, Any]) -> TaskCard:
    found, model = export.chosen.records[task], export.padded.model
    adapters = model.task_adapters(task)
    return TaskCard(
        id=task,
        task=found.task,
        head=found.head,
        adapters=found.adapters,
        info=found.info,
        metric=found.metric,
        score=_score(task, export),
        step=found.step,
        num_parameters=_size(model.head(task)) + sum(map(_size, adapters.values())),
        data=_data(task, export, lock),
    )


def _score(task: str, export: Export) -> float | None:
    """The score that the run kept; of files that are not the model exactly, their own."""
    found = export.chosen.records[task]
    if export.chosen.exporter.exact:
        return found.score
    own = {f"{each.split}/{each.metric}": each.after for each in export.scores if each.task == task}
    return own.get(found.metric)


def _size(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _lock(run: Path) -> Mapping[str, Any]:
    """What the run wrote down of its data; empty if that file is not there any more."""
    return read_json(run / LOCK_FILE) if (run / LOCK_FILE).is_file() else {}


def _data(task: str, export: Export, lock: Mapping[str, Any]) -> dict[str, str]:
    """The task's data files, from their folder on, with the hashes that the run found."""
    hashes, trained = lock.get("data", {}), export.chosen.trained
    try:
        files = [
            path
            for role in ("train", "dev")
            for split in trained.task(task).splits(role)
            for path in trained.files(task, split)
        ]
    except DataError:  # the data is not on this machine
        return {}
    return {"/".join(path.parts[-2:]): hashes[str(path)] for path in files if str(path) in hashes}


def _versions(export: Export) -> dict[str, str]:
    """What the files were made with."""
    exporter = export.chosen.plan.exporter
    found = {"bertmod": __version__, exporter.provider: exporter.version}
    found["python"] = platform.python_version()
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
