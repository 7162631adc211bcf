"""What bertmod finds: the task ``textfile``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Literal

from pydantic import Field

from bertmod import ComponentConfig, Problem, Role, Task, TaskContext, TaskSpec, hookimpl

BERTMOD_CONTRACT = 1


class TextfileConfig(ComponentConfig):
    """Options of ``textfile``."""

    folder: str = Field(
        ".", description="The task's folder, a path inside the data folder; . is that folder."
    )
    labels: tuple[str, ...] | None = Field(
        None,
        min_length=2,
        description="Folders of the labels, at least two, in the order of the logits; other "
        "folders beside them are then left alone. Null: every folder of the training split, by "
        "name.",
    )
    train: str = Field("train", description="Folder of the training split, inside ``folder``.")
    dev: str = Field("dev", description="Folder of the dev split, inside ``folder``.")
    test: str | None = Field(
        "test",
        description="Folder of the texts without label, inside ``folder``; null: there are none.",
    )
    encoding: Literal["utf-8", "utf-16", "latin-1", "cp1252"] = Field(
        "utf-8", description="Encoding of the files; a byte-order mark is taken off."
    )


def build_textfile(config: TextfileConfig, context: TaskContext) -> Task:
    """A task on a folder of text files."""
    from bertmod_textfile.task import TextfileTask

    return TextfileTask(config, context)


def splits(config: TextfileConfig) -> Mapping[str, Role]:
    """``train``, ``dev`` and, if there is one, ``test``."""
    found: dict[str, Role] = {"train": "train", "dev": "dev"}
    return found if config.test is None else {**found, "test": "test"}


def head(config: TextfileConfig) -> Mapping[str, Any]:
    """One class per text."""
    del config
    return {"name": "bertmod/classification"}


def metrics(config: TextfileConfig) -> Mapping[str, tuple[str, ...]]:
    """Accuracy on the dev split."""
    del config
    return {"dev": ("accuracy",)}


def targets(config: TextfileConfig) -> Mapping[str, str]:
    """A class."""
    del config
    return {"labels": "class"}


def num_labels(config: TextfileConfig) -> int | None:
    """The number of stated labels; else only the folders tell."""
    return None if config.labels is None else len(config.labels)


def check(config: TextfileConfig) -> tuple[Problem, ...]:
    """Folders lie inside the data folder, and each name stands once."""
    named = {"folder": config.folder, "train": config.train, "dev": config.dev}
    if config.test is not None:
        named["test"] = config.test
    problems = [
        Problem(option, f'"{name}" is no path inside the data folder', ("accepted: such as a/b",))
        for option, name in named.items()
        if not name or PurePath(name).is_absolute() or ".." in PurePath(name).parts
    ]
    used = [PurePath(name) for option, name in named.items() if option != "folder"]
    if len(set(used)) < len(used):
        problems.append(Problem("", "two splits are read from the same folder"))
    for place, label in enumerate(config.labels or ()):
        if label in (config.labels or ())[:place]:
            problems.append(Problem(f"labels[{place}]", f'"{label}" is listed twice'))
        elif label in ("", "..") or PurePath(label).name != label:
            problems.append(Problem(f"labels[{place}]", f'"{label}" is no name of a folder'))
    return tuple(problems)


@hookimpl
def bertmod_tasks() -> Iterator[TaskSpec]:
    """Tasks: ``textfile``."""
    yield TaskSpec(
        name="textfile",
        config=TextfileConfig,
        build=build_textfile,
        splits=splits,
        head=head,
        metrics=metrics,
        targets=targets,
        num_labels=num_labels,
        check=check,
        summary="Which folder does the text come from? One text per file, one folder per label.",
        source="the layout of Maas et al. 2011, ACL, P11-1015",
    )
