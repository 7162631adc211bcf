"""The README of a copy, with a note on where it comes from."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bertmod.contracts.checkpoint import CheckpointContent, LoadReport
from bertmod.convert.source import Source, SourceTask
from bertmod.convert.tensors import Tensors
from bertmod.model.card import ModelCard, TaskCard, installed_versions, render_card
from bertmod.wording import counted, listed

if TYPE_CHECKING:
    from bertmod.convert.conversion import Conversion

LIBRARIES = ("bertmod", "torch", "safetensors", "tensorflow", "transformers")

TRAIN = "`bertmod run RECIPE --checkpoint {folder}` trains from it."


def conversion_card(
    source: Source,
    content: CheckpointContent,
    *,
    done: Conversion,
    tensors: Tensors,
    use: str,
    folder: str,
    library: str,
) -> str:
    """The README of a copy, with a note on where it comes from.

    Args:
        source: The original.
        content: The copy.
        done: What was done.
        tensors: The copy's tensors by component and canonical name.
        use: How to use it, as its writer says.
        folder: Name of the copy's folder.
        library: What loads it, as the hub calls it.
    """
    opened = source.opened
    facts = [content.facts.get(task.id, {}) for task in source.tasks]
    card = ModelCard(
        title=folder,
        made_from=_made_from(source, done),
        encoder=content.encoder,
        tokenizer=content.tokenizer,
        encoder_hash=done.encoder_hash,
        num_parameters=_size(tensors, "encoder"),
        tasks=tuple(_task(task, content, tensors) for task in source.tasks),
        versions={
            **installed_versions(LIBRARIES),
            **dict(opened.registry.providers),
            "python": platform.python_version(),
        },
        use=_use(use, folder),
        library=library,
        recipe_hash=next((each["recipe_hash"] for each in facts if each.get("recipe_hash")), ""),
        synthetic=any(each.get("synthetic", False) for each in facts),
    )
    return render_card(card)


def _made_from(source: Source, done: Conversion) -> str:
    opened = source.opened
    lines = [
        f"Converted from `{_plain(_last(opened.path))}`, read by the loader "
        f"`{opened.loader.full_name}` {opened.loader.version}. "
        f"{counted(len(done.report.used), 'tensor')} of it are here.",
    ]
    if done.merged:
        adapters = listed(f"`{name}`" for name in done.merged)
        lines.append(f"- taken into the encoder's weights: the task's adapters {adapters}")
    if done.num_words:
        words = counted(done.num_words, "word")
        lines.append(f"- taken into the vocabulary: {words}, each the mean of its pieces")
    lines += [f"- {line}" for line in _left(done.report)]
    return "\n".join([lines[0], "", *lines[1:]] if lines[1:] else lines)


def _left(report: LoadReport) -> Iterator[str]:
    """What is not as it was, and why."""
    for reason, count in Counter(report.skipped.values()).items():
        yield f"skipped: {counted(count, 'tensor')}: {reason}"
    if report.unexpected:
        yield f"left out as asked, known to nothing: {counted(len(report.unexpected), 'tensor')}"
    if report.rounded:
        yield f"rounded from float64 to fp32: {counted(len(report.rounded), 'tensor')}"
    if report.reordered:
        yield f"rows put into the order of the task's labels: {', '.join(report.reordered)}"


def _task(task: SourceTask, content: CheckpointContent, tensors: Tensors) -> TaskCard:
    facts = content.facts.get(task.id, {})
    prefixes = [f"heads.{task.id}"]
    prefixes += [f"adapters.{task.id}.{adapter.id}" for adapter in task.adapters]
    return TaskCard(
        id=task.id,
        task=facts.get("task", {}),
        head=content.heads[task.id],
        adapters=content.adapters[task.id],
        info=content.infos[task.id],
        metric=facts.get("metric", ""),
        score=facts.get("score"),
        step=facts.get("step", 0),
        data=facts.get("data", {}),
        num_parameters=sum(_size(tensors, prefix) for prefix in prefixes),
    )


def _use(use: str, folder: str) -> str:
    told = f"{use}\n\n{TRAIN}" if use else TRAIN
    return told.replace("{folder}", _plain(folder))


def _size(tensors: Tensors, prefix: str) -> int:
    return sum(tensor.numel() for tensor in tensors[prefix].values())


def _last(path: str) -> str:
    """The end of a path: where it lay matters to nobody."""
    return path if ":" in path else "/".join(path.rstrip("/").split("/")[-2:])


def _plain(text: str) -> str:
    """Text that may stand in code, in quotation marks or not."""
    return re.sub(r"[`\"\\\n\r]", "_", text)
