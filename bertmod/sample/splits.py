"""The eight tasks: how many rows each split has and how its files look."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from bertmod.sample.acceptability import draw_acceptability
from bertmod.sample.dice import Dice
from bertmod.sample.example import Example
from bertmod.sample.inference import (
    MATCHED_TOPICS,
    MISMATCHED_TOPICS,
    draw_answerability,
    draw_entailment,
    draw_inference,
)
from bertmod.sample.paraphrase import draw_graded_pair, draw_news_pair, draw_question_pair
from bertmod.sample.sentiment import draw_sentiment

Row = tuple[str, ...]
Draw = Callable[[Dice, str], Example]


@dataclass(frozen=True)
class Split:
    """One file of a task.

    Args:
        name: File name without ``.tsv``.
        rows: Number of examples.
        draw: Gives a random example with a given label; the caller drops duplicates.
    """

    name: str
    rows: int
    draw: Draw


@dataclass(frozen=True)
class TaskFiles:
    """One task's folder.

    Args:
        name: Folder name, as in GLUE.
        seed: Seed of the task's examples.
        labels: Labels with their shares, which sum to 1; one empty label where the task has scores.
        splits: Files, in the order in which they are generated.
        header: Gives the columns of a file from its name; none for a file without header.
        row: Gives the fields of one row from the file name, the row number and the example.
        mark: Text at the very start of a file (MRPC has a byte-order mark), from its name.
    """

    name: str
    seed: int
    labels: tuple[tuple[str, float], ...]
    splits: tuple[Split, ...]
    header: Callable[[str], Row]
    row: Callable[[str, int, Example], Row]
    mark: Callable[[str], str] = lambda _: ""


def examples(task: TaskFiles) -> Iterator[tuple[Split, list[Example]]]:
    """Give each split with its examples; no two of a task have the same texts in any order."""
    dice = Dice(task.seed)
    seen: set[tuple[str, ...]] = set()
    for split in task.splits:
        yield (
            split,
            [_unseen(dice, split.draw, _label(dice, task), seen) for _ in range(split.rows)],
        )


def _label(dice: Dice, task: TaskFiles) -> str:
    """Draw a label by the shares."""
    draw, total = dice.fraction(), 0.0
    for label, share in task.labels:
        total += share
        if draw < total:
            return label
    return task.labels[-1][0]


def _unseen(dice: Dice, draw: Draw, label: str, seen: set[tuple[str, ...]]) -> Example:
    """Draw until the texts are new and, in a pair, differ."""
    while True:
        example = draw(dice, label)
        texts = tuple(sorted(example.texts))
        if len(set(texts)) == len(texts) and texts not in seen:
            seen.add(texts)
            return example


def _usual(draw: Draw, train: int, dev: int, test: int) -> tuple[Split, ...]:
    return Split("train", train, draw), Split("dev", dev, draw), Split("test", test, draw)


def _is_test(split: str) -> bool:
    return split.startswith("test")


def _cola_header(split: str) -> Row:
    return ("index", "sentence") if _is_test(split) else ()


def _cola_row(split: str, index: int, example: Example) -> Row:
    if _is_test(split):
        return str(index), *example.texts
    return "sm01", example.label, "" if example.label == "1" else "*", *example.texts


def _sst_header(split: str) -> Row:
    return ("index", "sentence") if _is_test(split) else ("sentence", "label")


def _sst_row(split: str, index: int, example: Example) -> Row:
    return (str(index), *example.texts) if _is_test(split) else (*example.texts, example.label)


def _mrpc_header(split: str) -> Row:
    return "index" if _is_test(split) else "Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"


def _mrpc_row(split: str, index: int, example: Example) -> Row:
    first_id = _SPLIT_OFFSETS[split] + 2 * index
    first = str(index) if _is_test(split) else example.label
    return first, str(first_id), str(first_id + 1), *example.texts


def _qqp_header(split: str) -> Row:
    if _is_test(split):
        return "id", "question1", "question2"
    return "id", "qid1", "qid2", "question1", "question2", "is_duplicate"


def _qqp_row(split: str, index: int, example: Example) -> Row:
    if _is_test(split):
        return str(index), *example.texts
    first_id = _SPLIT_OFFSETS[split] + 2 * index
    return str(first_id // 2), str(first_id), str(first_id + 1), *example.texts, example.label


_SPLIT_OFFSETS = {"train": 100000, "dev": 300000, "test": 500000}


_STS_COLUMNS = (
    *("index", "genre", "filename", "year", "old_index", "source1", "source2"),
    *("sentence1", "sentence2"),
)


def _sts_header(split: str) -> Row:
    return _STS_COLUMNS if _is_test(split) else (*_STS_COLUMNS, "score")


def _sts_row(split: str, index: int, example: Example) -> Row:
    origin = "main-sample", "sample", "2024", f"{index:04d}", "none", "none"
    fields = str(index), *origin, *example.texts
    return fields if _is_test(split) else (*fields, example.label)


_MNLI_COLUMNS = (
    *("index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"),
    *("sentence1_parse", "sentence2_parse", "sentence1", "sentence2"),
)


def _mnli_header(split: str) -> Row:
    if _is_test(split):
        return _MNLI_COLUMNS
    labels = 1 if split == "train" else 5
    return *_MNLI_COLUMNS, *(f"label{number + 1}" for number in range(labels)), "gold_label"


def _mnli_row(split: str, index: int, example: Example) -> Row:
    fields = str(index), str(index), f"{index}s", example.genre, *("_",) * 4, *example.texts
    if _is_test(split):
        return fields
    return *fields, *(example.label,) * (2 if split == "train" else 6)


def _pair_header(first: str, second: str, split: str) -> Row:
    columns = "index", first, second
    return columns if _is_test(split) else (*columns, "label")


def _pair_row(split: str, index: int, example: Example) -> Row:
    fields = str(index), *example.texts
    return fields if _is_test(split) else (*fields, example.label)


_TWO_WAY = (("entailment", 0.5), ("not_entailment", 0.5))
_MATCHED = partial(draw_inference, topics=MATCHED_TOPICS)
_MISMATCHED = partial(draw_inference, topics=MISMATCHED_TOPICS)

TASKS = (
    TaskFiles(
        "CoLA",
        11,
        (("1", 0.64), ("0", 0.36)),
        _usual(draw_acceptability, 2800, 400, 150),
        _cola_header,
        _cola_row,
    ),
    TaskFiles(
        "SST-2",
        12,
        (("1", 0.52), ("0", 0.48)),
        _usual(draw_sentiment, 2600, 300, 150),
        _sst_header,
        _sst_row,
    ),
    TaskFiles(
        "MRPC",
        13,
        (("1", 0.65), ("0", 0.35)),
        _usual(draw_news_pair, 2200, 400, 150),
        _mrpc_header,
        _mrpc_row,
        lambda split: "" if _is_test(split) else "\ufeff",
    ),
    TaskFiles(
        "STS-B", 14, (("", 1.0),), _usual(draw_graded_pair, 2400, 300, 150), _sts_header, _sts_row
    ),
    TaskFiles(
        "QQP",
        15,
        (("0", 0.6), ("1", 0.4)),
        _usual(draw_question_pair, 4200, 400, 200),
        _qqp_header,
        _qqp_row,
    ),
    TaskFiles(
        "MNLI",
        16,
        (("entailment", 0.34), ("neutral", 0.33), ("contradiction", 0.33)),
        (
            Split("train", 5000, _MATCHED),
            Split("dev_matched", 400, _MATCHED),
            Split("dev_mismatched", 400, _MISMATCHED),
            Split("test_matched", 150, _MATCHED),
            Split("test_mismatched", 150, _MISMATCHED),
        ),
        _mnli_header,
        _mnli_row,
    ),
    TaskFiles(
        "QNLI",
        17,
        _TWO_WAY,
        _usual(draw_answerability, 3400, 400, 150),
        partial(_pair_header, "question", "sentence"),
        _pair_row,
    ),
    TaskFiles(
        "RTE",
        18,
        _TWO_WAY,
        _usual(draw_entailment, 1800, 300, 150),
        partial(_pair_header, "sentence1", "sentence2"),
        _pair_row,
    ),
)
