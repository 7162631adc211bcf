"""Tiny data of every kind of task in one folder, in the files that benchmarks distribute."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bertmod.sample import sample_folder

NUM_EXAMPLES = 12
ANIMALS = ("dog", "cat", "horse", "sheep")
PLACES = ("house", "river", "garden", "road")


def write_tiny_data(folder: Path, cache: Path) -> Path:
    """Files of GLUE's eight tasks, SQuAD 1.1 and 2.0, CoNLL-2003 and SWAG.

    Args:
        folder: Where they go.
        cache: A user's cache, in which the built-in sample is made: GLUE's files are its own.

    Returns:
        ``folder``.
    """
    shutil.copytree(sample_folder(cache), folder, dirs_exist_ok=True)
    for version in ("1.1", "2.0"):
        for split in ("train", "dev"):
            text = json.dumps(squad(version), ensure_ascii=False)
            put(folder / f"SQuAD/{split}-v{version}.json", text)
    for split in ("train", "dev", "test"):
        put(folder / f"CoNLL2003/{split}.txt", conll())
    for split in ("train", "val", "test"):
        write_swag(folder / f"SWAG/{split}.csv", labelled=split != "test")
    return folder


def put(path: Path, text: str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def squad(version: str) -> dict[str, Any]:
    """Questions on short contexts; in 2.0 every third has no answer."""
    paragraphs = []
    for number in range(NUM_EXAMPLES):
        animal, place = ANIMALS[number % 4], PLACES[number // 4 % 4]
        context = f"The {animal} stands near the {place}. It waits there, and nobody comes."
        answer = {"text": f"near the {place}", "answer_start": context.index("near")}
        question: dict[str, Any] = {"id": f"q{number}", "question": f"Where is the {animal}?"}
        question["answers"] = [answer]
        if version == "2.0":
            question["is_impossible"] = number % 3 == 0
            question["answers"] = [] if number % 3 == 0 else [answer]
        paragraphs.append({"context": context, "qas": [question]})
    return {"version": version, "data": [{"title": "Animals", "paragraphs": paragraphs}]}


def conll() -> str:
    """Sentences with entities of two types, in IOB1, with a line between documents."""
    lines = ["-DOCSTART- -X- O O", ""]
    for number in range(NUM_EXAMPLES):
        animal, place = ANIMALS[number % 4], PLACES[number // 4 % 4]
        lines += [f"Old NN I-NP I-PER\n{animal} NN I-NP I-PER\nsees VB I-VP O"]
        lines += [f"the DT I-NP O\n{place} NN I-NP I-LOC\n. . O O", ""]
    return "\n".join(lines) + "\n"


def write_swag(path: Path, *, labelled: bool) -> None:
    """Scenes with four endings in the published columns."""
    start = ["", "video-id", "fold-ind", "startphrase", "sent1", "sent2", "gold-source"]
    endings = [f"ending{number}" for number in range(4)]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([*start, *endings, *(["label"] if labelled else [])])
        for number in range(NUM_EXAMPLES):
            scene, begin = f"The {ANIMALS[number % 4]} is tired.", "It"
            row = [str(number), "v", str(number), f"{scene} {begin}", scene, begin, "gold"]
            row += [f"walks, slowly, to the {place}." for place in PLACES]
            table.writerow([*row, *([str(number % 4)] if labelled else [])])


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A data folder with tiny files of every kind of task."""
    return write_tiny_data(tmp_path_factory.mktemp("tiny"), cache / "bertmod")
