"""The README beside exported files."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from bertmod import __version__
from bertmod.inference.export_record import Export
from bertmod.inference.export_use import how_to_run
from bertmod.model.card import ModelCard, TaskCard, code, installed_versions, num_parameters
from bertmod.model.record import read_encoder_record
from bertmod.recipe.bare_paths import bare_paths

LIBRARIES = ("torch", "numpy", "onnx", "onnxscript", "onnxruntime")


def export_card(export: Export) -> ModelCard:
    """What the README says.

    Args:
        export: What came of the export.
    """
    chosen, state = export.chosen, export.chosen.state
    encoder = read_encoder_record(state.encoder)
    first = next(iter(chosen.records.values()))
    recipe = bare_paths(chosen.recipe, chosen.opened.registry)
    return ModelCard(
        title=f"{chosen.run.absolute().name}, exported to {export.name}",
        made_from="\n".join(_story(export)),
        encoder=encoder["encoder"],
        tokenizer=encoder["tokenizer"],
        encoder_hash=state.encoder_hash,
        num_parameters=num_parameters(export.padded.model.encoder),
        tasks=tuple(_task_card(task, export) for task in chosen.tasks),
        recipe=recipe,
        recipe_hash=first.recipe_hash,
        versions=_versions(export),
        use=how_to_run(export),
        synthetic=any(chosen.records[task].synthetic for task in chosen.tasks),
        checkpoint=(recipe["checkpoint"] or {}).get("path") or "",
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
        yield f"\nScores of the dev rows of {_scored_data(export)}:\n"
        yield f"| task | split | metric | fp32 | {export.name} | change |"
        yield "|---|---|---|---:|---:|---:|"
        for each in export.scores:
            yield f"| {' | '.join(each.cells())} |"


def _scored_data(export: Export) -> str:
    named = export.chosen.plan.data
    return "the run's own data" if named is None else f"another data folder, {code(named)}"


def _task_card(task: str, export: Export) -> TaskCard:
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
        num_parameters=num_parameters(model.head(task), *adapters.values()),
        data=found.data,
    )


def _score(task: str, export: Export) -> float | None:
    """The score that the run kept; of files that are not the model exactly, their own."""
    found = export.chosen.records[task]
    if export.chosen.exporter.exact:
        return found.score
    own = {f"{each.split}/{each.metric}": each.after for each in export.scores if each.task == task}
    return own.get(found.metric)


def _versions(export: Export) -> dict[str, str]:
    """What the files were made with."""
    exporter = export.chosen.plan.exporter
    return {
        "bertmod": __version__,
        exporter.provider: exporter.version,
        "python": platform.python_version(),
        **installed_versions(LIBRARIES),
    }
