"""Reading, tokenising and caching a task's training rows, beside tokenising alone."""

from __future__ import annotations

from pathlib import Path

from benchmarks.rows import prepared_task
from benchmarks.settings import FineTuning
from benchmarks.speed import targets
from benchmarks.speed.contest import Contender, Group, Ratio, Staff

TASKS = {"qqp": "QQP", "sst2": "SST-2", "mnli": "MNLI"}
"""Tasks to their folders."""

WAYS = {
    "bare": "encode_batch_fast on texts that were read before",
    "made": "bertmod, a first start: the files read, tokenised, cached",
    "again": "bertmod, a second start: from the cache",
}

NOTES = (
    "The bare way is the library tokenizers with its own BERT pipeline, all texts in one call, on "
    "all cores; it reads no file, lays out no rows and keeps nothing. Building the tokenizer does "
    "not count in any way.",
)


def groups(data: Path, weights: str, folder: Path) -> list[Group]:
    """What is measured: the tasks of ``TASKS`` that the data folder has.

    Args:
        data: Data folder.
        weights: Folder that has ``tokenizer.json``.
        folder: Working files.

    Raises:
        DataError: If a file is malformed.
    """
    settings = FineTuning()
    found = []
    for task, files in TASKS.items():
        if not (data / files).is_dir():
            continue
        recipe = settings.recipe({"name": task}, data=str(data), checkpoint=weights, seed=1)
        rows = len(prepared_task(recipe).features("train"))
        given = {
            "recipe": recipe,
            "tokenizer": str(Path(weights) / "tokenizer.json"),
            "max_length": settings.max_length,
            "folder": str(folder / f"cache-{task}"),
        }
        ways = [
            Contender(f"{task} {way}", task, float(rows), way, "", expected={"rows": rows})
            for way in WAYS
        ]
        ratio = Ratio("beside bare tokenising", f"{task} made", f"{task} bare", targets.DATA)
        start = Ratio("second start beside the first", f"{task} again", f"{task} made")
        found.append(
            Group(
                f"{files}, {rows:,} training rows",
                {task: Staff("bertmod_data", given)},
                ways,
                [ratio, start],
            )
        )
    return found


def notes() -> list[str]:
    """The notes of the page."""
    ways = "; ".join(f"`{way}`: {told}" for way, told in WAYS.items())
    return [f"{ways}.", *NOTES]
