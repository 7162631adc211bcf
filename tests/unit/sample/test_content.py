"""What the sample's files hold: bytes, columns, labels, words."""

import hashlib
import re
from collections import Counter
from pathlib import Path

import pytest

from bertmod.sample import SAMPLE_VERSION

# A change of content needs a new SAMPLE_VERSION, or caches would keep the old one.
DIGESTS = {"2": "30ca717915ab3b9a0922f854de4588ef999edfe2609ea3bbaf4bb2f0015c0076"}

MNLI = (
    *("index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"),
    *("sentence1_parse", "sentence2_parse", "sentence1", "sentence2"),
)
STS = ("index", "genre", "filename", "year", "old_index", "source1", "source2")
DEV_LABELS = tuple(f"label{number}" for number in range(1, 6))
# Columns as in GLUE's own files, and the number of rows below the header.
FILES = {
    "CoLA/train": (None, 2800),
    "CoLA/dev": (None, 400),
    "CoLA/test": (("index", "sentence"), 150),
    "SST-2/train": (("sentence", "label"), 2600),
    "SST-2/dev": (("sentence", "label"), 300),
    "SST-2/test": (("index", "sentence"), 150),
    "MRPC/train": (("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"), 2200),
    "MRPC/dev": (("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"), 400),
    "MRPC/test": (("index", "#1 ID", "#2 ID", "#1 String", "#2 String"), 150),
    "STS-B/train": ((*STS, "sentence1", "sentence2", "score"), 2400),
    "STS-B/dev": ((*STS, "sentence1", "sentence2", "score"), 300),
    "STS-B/test": ((*STS, "sentence1", "sentence2"), 150),
    "QQP/train": (("id", "qid1", "qid2", "question1", "question2", "is_duplicate"), 4200),
    "QQP/dev": (("id", "qid1", "qid2", "question1", "question2", "is_duplicate"), 400),
    "QQP/test": (("id", "question1", "question2"), 200),
    "MNLI/train": ((*MNLI, "label1", "gold_label"), 5000),
    "MNLI/dev_matched": ((*MNLI, *DEV_LABELS, "gold_label"), 400),
    "MNLI/dev_mismatched": ((*MNLI, *DEV_LABELS, "gold_label"), 400),
    "MNLI/test_matched": (MNLI, 150),
    "MNLI/test_mismatched": (MNLI, 150),
    "QNLI/train": (("index", "question", "sentence", "label"), 3400),
    "QNLI/dev": (("index", "question", "sentence", "label"), 400),
    "QNLI/test": (("index", "question", "sentence"), 150),
    "RTE/train": (("index", "sentence1", "sentence2", "label"), 1800),
    "RTE/dev": (("index", "sentence1", "sentence2", "label"), 300),
    "RTE/test": (("index", "sentence1", "sentence2"), 150),
}
TEXT = re.compile(r"sentence[12]?|question[12]?|#[12] String")
# Share of the commonest label; each file's share may differ by a few hundredths.
MAJORITY = {
    **{"CoLA": ("1", 0.65), "SST-2": ("1", 0.52), "MRPC": ("1", 0.65), "QQP": ("0", 0.6)},
    **{"MNLI": ("entailment", 0.35), "QNLI": ("entailment", 0.5), "RTE": ("entailment", 0.5)},
}
LABELS = {
    **{task: {"0", "1"} for task in ("CoLA", "SST-2", "MRPC", "QQP")},
    **{task: {"entailment", "not_entailment"} for task in ("QNLI", "RTE")},
    "MNLI": {"entailment", "neutral", "contradiction"},
}
LABELLED = [name for name in FILES if "/test" not in name]


def read(sample: Path, name: str) -> tuple[tuple[str, ...] | None, list[list[str]]]:
    """Header, if the file has one, and rows."""
    text = (sample / f"{name}.tsv").read_bytes().decode().removeprefix("\ufeff")
    rows = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
    return (tuple(rows[0]), rows[1:]) if FILES[name][0] else (None, rows)


def texts(sample: Path, name: str) -> list[tuple[str, ...]]:
    header, rows = read(sample, name)
    columns = [index for index, column in enumerate(header or ()) if TEXT.fullmatch(column)]
    return [tuple(row[column] for column in columns or [3]) for row in rows]


def labels(sample: Path, name: str) -> list[str]:
    _, rows = read(sample, name)
    column = {"CoLA": 1, "MRPC": 0}.get(name.split("/")[0], -1)
    return [row[column] for row in rows]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in files(folder):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def test_bytes_are_the_same_on_every_machine(sample: Path) -> None:
    assert digest(sample) == DIGESTS[SAMPLE_VERSION]


def test_the_folder_holds_the_files_of_glue_and_little_else(sample: Path) -> None:
    found = {path.relative_to(sample).as_posix() for path in files(sample)}
    assert found == {*(f"{name}.tsv" for name in FILES), "corpus.txt", "vocab.txt", "README.txt"}
    assert sum(path.stat().st_size for path in files(sample)) < 3_500_000


def test_the_readme_says_that_the_data_is_synthetic(sample: Path) -> None:
    readme = (sample / "README.txt").read_text()
    assert readme.startswith("This data is synthetic.")
    assert f"sample version {SAMPLE_VERSION}" in readme


@pytest.mark.parametrize("name", FILES)
def test_columns_and_row_counts(sample: Path, name: str) -> None:
    columns, num_rows = FILES[name]
    header, rows = read(sample, name)
    assert header == columns
    assert len(rows) == num_rows
    assert {len(row) for row in rows} == {len(columns) if columns else 4}


@pytest.mark.parametrize("name", FILES)
def test_plain_files(sample: Path, name: str) -> None:
    content = (sample / f"{name}.tsv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") == (name in ("MRPC/train", "MRPC/dev"))
    assert content.endswith(b"\n")
    assert b"\r" not in content
    assert b'"' not in content


@pytest.mark.parametrize("name", [name for name in LABELLED if not name.startswith("STS")])
def test_labels_and_their_balance(sample: Path, name: str) -> None:
    task = name.split("/")[0]
    counts = Counter(labels(sample, name))
    label, share = MAJORITY[task]
    assert set(counts) == LABELS[task]
    assert counts[label] / counts.total() == pytest.approx(share, abs=0.06)


def test_every_annotator_of_mnli_agrees(sample: Path) -> None:
    for name in ("MNLI/train", "MNLI/dev_matched", "MNLI/dev_mismatched"):
        assert all(len(set(row[10:])) == 1 for row in read(sample, name)[1])


def test_unacceptable_sentences_are_starred(sample: Path) -> None:
    for name in ("CoLA/train", "CoLA/dev"):
        assert {(row[1], row[2]) for row in read(sample, name)[1]} == {("0", "*"), ("1", "")}


@pytest.mark.parametrize("name", ["STS-B/train", "STS-B/dev"])
def test_scores_are_varied(sample: Path, name: str) -> None:
    scores = labels(sample, name)
    assert all(re.fullmatch(r"[0-4]\.\d{3}|5\.000", score) for score in scores)
    assert len(set(scores)) > 60
    assert {int(float(score)) for score in scores} == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("task", ["CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "QNLI", "RTE"])
def test_no_texts_occur_twice(sample: Path, task: str) -> None:
    rows = [
        tuple(sorted(row))
        for name in FILES
        if name.startswith(f"{task}/")
        for row in texts(sample, name)
    ]
    assert len(set(rows)) == len(rows)


def test_mismatched_genres_are_not_in_mnli_train(sample: Path) -> None:
    genres = {name: {row[3] for row in read(sample, name)[1]} for name in FILES if "MNLI" in name}
    assert genres["MNLI/dev_matched"] == genres["MNLI/test_matched"] == genres["MNLI/train"]
    assert genres["MNLI/dev_mismatched"] == genres["MNLI/test_mismatched"]
    assert not genres["MNLI/dev_mismatched"] & genres["MNLI/train"]


def test_sentences_are_short(sample: Path) -> None:
    lengths = [len(text.split()) for name in FILES for row in texts(sample, name) for text in row]
    assert min(lengths) >= 3
    assert max(lengths) <= 24
    assert 6 <= sum(lengths) / len(lengths) <= 10


def test_the_vocabulary_is_in_bert_order(sample: Path) -> None:
    pieces = (sample / "vocab.txt").read_text().splitlines()
    assert pieces[0] == "[PAD]"
    assert pieces[1] == "[unused0]"
    special = pieces.index("[UNK]")
    assert pieces[special : special + 4] == ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(set(pieces)) == len(pieces) < 1500
    assert pieces.index("a") < pieces.index("##a") < pieces.index("##ing") < pieces.index("doctor")


def test_every_word_is_one_piece(sample: Path) -> None:
    pieces = set((sample / "vocab.txt").read_text().splitlines())
    all_texts = " ".join(text for name in FILES for row in texts(sample, name) for text in row)
    assert set(re.findall(r"\w+|[^\w\s]", all_texts.lower())) <= pieces


def test_any_ascii_text_has_pieces(sample: Path) -> None:
    pieces = set((sample / "vocab.txt").read_text().splitlines())
    for code in range(33, 127):
        character = chr(code).lower()
        assert character in pieces
        assert not character.isalnum() or f"##{character}" in pieces
