"""SQuAD's dev questions to windows, and logits to answers: bertmod beside transformers' example.

Every measurement is a process of its own, so that nothing is warm; both tools take turns.
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.contenders import PROGRAMS, timed
from benchmarks.questions import FILES, QUESTIONS, SETTINGS, TASK, WINDOWS
from benchmarks.results import save_page
from benchmarks.rows import prepared_task
from benchmarks.series import BUSY, listed, surroundings
from bertmod.data.features import FeatureTable
from bertmod.engine.evaluate import outputs_by_example

SEED = 1
"""Of the logits, which are random."""

DOC_STRIDE = 128
"""Pieces between the starts of neighbouring windows: bertmod's default, as in Google's code."""

BERTMOD, PEER = "bertmod", "transformers"
PARTS = {"read_seconds": "reading", "features_seconds": "windows", "answers_seconds": "answers"}

NOTES = (
    "Medians of {repeats} rounds, seconds; imports and the tokenizer's loading do not count. "
    "Windows are at most 384 tokens, of questions of at most 64.",
    "transformers is what its example run_qa.py does: datasets.load_dataset, a fast tokenizer "
    "with overlapping windows padded to 384 tokens, a loop over them for offsets and ids, "
    "datasets.map in batches of 1,000. bertmod's features also hold where the answers are, which "
    "the example leaves out for dev questions.",
    "Answers are made from logits drawn from N(0, 1): 20 starts and 20 ends of each window, at "
    "most 30 tokens, the best 20 spans with their probabilities. bertmod's text recovery, which "
    "follows Google's code, is part of that.",
    "bertmod's windows begin 128 pieces after one another, as Google's do, so they overlap by 253 "
    "pieces less those of the question; in the example all overlap by 128, and there are fewer.",
)


@dataclass(frozen=True)
class Found:
    """Windows that one tool made.

    Attributes:
        windows: Question id to the tokens of its windows.
    """

    windows: Mapping[str, list[tuple[int, ...]]]

    @classmethod
    def of(cls, question: Sequence[str], ids: np.ndarray, bounds: np.ndarray) -> Found:
        """Windows from columns.

        Args:
            question: Question id of each window.
            ids: Tokens of all windows, one behind another.
            bounds: Where each window begins, (windows + 1,).
        """
        found: dict[str, list[tuple[int, ...]]] = {}
        for number, name in enumerate(question):
            tokens = ids[bounds[number] : bounds[number + 1]]
            found.setdefault(str(name), []).append(tuple(tokens.tolist()))
        return cls(found)


def measure(
    data: Path,
    output: Path,
    *,
    checkpoint: str,
    python: Path,
    repeats: int,
    num_questions: int | None = None,
    busy: bool = False,
) -> str:
    """Time both tools in turn, compare their windows, and write the medians.

    Args:
        data: Folder that has SQuAD/.
        output: JSON file; a Markdown page and a folder of working files go beside it.
        checkpoint: Folder of the vocabulary.
        python: Interpreter of the environment that has transformers and datasets.
        repeats: Rounds.
        num_questions: Dev questions; None for all.
        busy: Whether to say that the timings mean nothing.

    Returns:
        The page.

    Raises:
        RunFailed: If the peer's program fails.
        BertmodError: If the data or the checkpoint cannot be used.
    """
    work = output.resolve().with_suffix("")
    work.mkdir(parents=True, exist_ok=True)
    if QUESTIONS.cut is not None:
        cut = {"train": 1 if num_questions else None, "dev": num_questions}
        data = QUESTIONS.cut.folder(data, work / "data", num_rows=cut)
    recipe = _recipe(data, checkpoint)
    _give_questions(data / FILES["dev"], work)
    given = {**WINDOWS, "max_length": SETTINGS.max_length, "checkpoint": checkpoint, "seed": SEED}
    ways: dict[str, Callable[[], tuple[dict[str, Any], Found]]] = {
        BERTMOD: lambda: _in_process(recipe),
        PEER: lambda: _peer(work, python, given),
    }
    told: dict[str, list[dict[str, Any]]] = {tool: [] for tool in ways}
    found: dict[str, Found] = {}
    for number in range(repeats):
        for tool in sorted(ways, reverse=bool(number % 2)):
            result, found[tool] = ways[tool]()
            told[tool].append(result)
    _, aligned = _peer(work, python, {**given, "doc_stride": DOC_STRIDE})
    values = {
        **surroundings(),
        "repeats": repeats,
        "busy": busy,
        "measured": told,
        "questions": len(found[BERTMOD].windows),
        "equal": num_equal(found[BERTMOD], found[PEER]),
        "equal_where_aligned": num_equal(found[BERTMOD], aligned),
    }
    page = _page(values)
    save_page(output, json.dumps(values, indent=2) + "\n", page)
    return page


def num_equal(ours: Found, theirs: Found) -> int:
    """How many questions have the same windows in both tools."""
    return sum(theirs.windows.get(name) == windows for name, windows in ours.windows.items())


def own_windows(recipe: Mapping[str, Any]) -> tuple[dict[str, Any], Found]:
    """Seconds that bertmod takes for each part, and its windows."""
    prepared = prepared_task(recipe)
    clock = [time.perf_counter()]
    examples = list(prepared.task.read("dev"))
    clock.append(time.perf_counter())
    table = prepared.make_features(examples)
    clock.append(time.perf_counter())
    logits = random_logits(table)
    begun = time.perf_counter()
    outputs = outputs_by_example(len(examples), table, logits)
    answers = prepared.task.predict(examples, outputs, prepared.info)
    told = {
        "read_seconds": clock[1] - clock[0],
        "features_seconds": clock[2] - clock[1],
        "answers_seconds": time.perf_counter() - begun,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "windows": len(table),
        "answers": len(answers),
    }
    names = [example["id"] for example in examples]
    questions = [names[number] for number in table.example.tolist()]
    return told, Found.of(questions, table.tokens["input_ids"], table.token_bounds)


def random_logits(table: FeatureTable) -> list[dict[str, np.ndarray]]:
    """What a span head decodes of each feature, drawn from N(0, 1)."""
    generator = np.random.default_rng(SEED)
    names = ("start_logits", "end_logits")
    return [
        {name: generator.standard_normal(length, dtype=np.float32) for name in names}
        for length in table.lengths.tolist()
    ]


def _recipe(data: Path, checkpoint: str) -> dict[str, Any]:
    return SETTINGS.recipe(
        {"name": TASK, "head": {"name": QUESTIONS.head}},
        data=str(data),
        checkpoint=checkpoint,
        seed=SEED,
    )


def _give_questions(path: Path, work: Path) -> None:
    """Write the questions in the flat form that the peer's example reads."""
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    rows = [
        {"id": each["id"], "question": each["question"], "context": paragraph["context"]}
        for article in articles
        for paragraph in article["paragraphs"]
        for each in paragraph["qas"]
    ]
    (work / "questions.json").write_text(json.dumps({"data": rows}), encoding="utf-8")


def _in_process(recipe: Mapping[str, Any]) -> tuple[dict[str, Any], Found]:
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        return pool.submit(own_windows, recipe).result()


def _peer(work: Path, python: Path, given: Mapping[str, Any]) -> tuple[dict[str, Any], Found]:
    names = ("questions.json", "given.json", "result.json", "windows.npz")
    questions, settings, result, windows = (work / name for name in names)
    settings.write_text(json.dumps(dict(given)), encoding="utf-8")
    program = PROGRAMS / "transformers_windows.py"
    command = map(str, (python, program, questions, settings, result, windows))
    timed(tuple(command), log=work / "output.txt")
    with np.load(windows) as arrays:
        found = Found.of(arrays["question"], arrays["input_ids"], arrays["bounds"])
    return json.loads(result.read_text(encoding="utf-8")), found


def _page(values: Mapping[str, Any]) -> str:
    told = values["measured"]
    medians = {
        tool: {key: median(run[key] for run in runs) for key in (*PARTS, "peak_mib", "windows")}
        for tool, runs in told.items()
    }
    notes = [*NOTES, *([BUSY] if values["busy"] else [])]
    lines = [
        f"# {values['questions']:,} questions of SQuAD 1.1 to windows, and logits to answers",
        "",
        "| | bertmod | transformers | transformers / bertmod |",
        "| --- | ---: | ---: | ---: |",
        *(_line(f"{title}, s", key, medians) for key, title in PARTS.items()),
        _line("peak memory of the process, MiB", "peak_mib", medians),
        _line("windows", "windows", medians),
        "",
        f"Of {values['questions']:,} questions {values['equal']:,} have equal windows, token for "
        f"token; {values['equal_where_aligned']:,} where transformers gets, for each length of "
        "question apart and not timed, the overlap that makes windows begin where Google's do.",
        "",
        *(f"{note.format(repeats=values['repeats'])}\n" for note in notes),
        f"- machine: {listed(values['machine'])}",
        f"- bertmod: {listed(values['versions']['bertmod'])}",
        f"- transformers: {listed(told[PEER][-1]['versions'])}",
        f"- command: `{values['command']}`",
        "",
    ]
    return "\n".join(lines)


def _line(title: str, key: str, medians: Mapping[str, Mapping[str, float]]) -> str:
    ours, theirs = (medians[tool][key] for tool in (BERTMOD, PEER))
    form = "{:.2f}" if key in PARTS else "{:,.0f}"
    return f"| {title} | {form.format(ours)} | {form.format(theirs)} | {theirs / ours:.2f} |"
