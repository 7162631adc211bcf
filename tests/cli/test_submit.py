"""``bertmod submit``: the zip that GLUE's server takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bertmod.data.glue import SUBMISSION

PUBLISHED = {file.name: file.rows for file in SUBMISSION}
SMALL = dict.fromkeys(PUBLISHED, 3)
NLI = {"AX.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "QNLI.tsv", "RTE.tsv"}
TAIL = "  GLUE's server takes all 11 files with every row; --partial writes what there is\n"
MNLI = (
    *("index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"),
    *("sentence1_parse", "sentence2_parse", "sentence1", "sentence2"),
)
PAIR = ("sentence1", "sentence2")
COLUMNS = {
    "AX.tsv": ("diagnostic/diagnostic.tsv", ("index", *PAIR)),
    "CoLA.tsv": ("CoLA/test.tsv", ("index", "sentence")),
    "MNLI-m.tsv": ("MNLI/test_matched.tsv", MNLI),
    "MNLI-mm.tsv": ("MNLI/test_mismatched.tsv", MNLI),
    "MRPC.tsv": ("MRPC/test.tsv", ("index", "#1 ID", "#2 ID", "#1 String", "#2 String")),
    "QNLI.tsv": ("QNLI/test.tsv", ("index", "question", "sentence")),
    "QQP.tsv": ("QQP/test.tsv", ("id", "question1", "question2")),
    "RTE.tsv": ("RTE/test.tsv", ("index", *PAIR)),
    "SST-2.tsv": ("SST-2/test.tsv", ("index", "sentence")),
    "STS-B.tsv": (
        "STS-B/test.tsv",
        (*("index", "genre", "filename", "year", "old_index"), *("source1", "source2"), *PAIR),
    ),
    "WNLI.tsv": ("WNLI/test.tsv", ("index", *PAIR)),
}
"""The published columns of every test file."""


def write_test_files(data: Path, rows: Mapping[str, int]) -> None:
    """Test files in the published columns; MNLI's mismatched ids begin where others end."""
    for name, count in rows.items():
        file, columns = COLUMNS[name]
        first = 9796 if name == "MNLI-mm.tsv" else 0
        lines = ["\t".join(columns)]
        lines += [
            "\t".join([str(first + n), *(f'a "cat {n}' for _ in columns[1:])]) for n in range(count)
        ]
        (data / file).parent.mkdir(parents=True, exist_ok=True)
        (data / file).write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """A data folder with three rows in every test file, WNLI among the tasks."""
    folder = Path(shutil.copytree(sample, tmp_path_factory.mktemp("submit") / "data"))
    shutil.copytree(folder / "RTE", folder / "WNLI")
    for split in ("train", "dev"):
        path = folder / "WNLI" / f"{split}.tsv"
        text = path.read_text()
        path.write_text(text.replace("not_entailment\n", "0\n").replace("entailment\n", "1\n"))
    write_test_files(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def nine(data: Path, tiny: Mapping[str, Any], env: Mapping[str, str]) -> Path:
    """The folder of a run on the nine tasks that train; nobody writes into it."""
    folder = data.parent
    names = ("cola", "mrpc", "mnli", "rte", "stsb", "sst2", "qqp", "qnli", "wnli")
    recipe = {**tiny, "tasks": [{"name": name} for name in names]}
    (folder / "nine.json").write_text(json.dumps(recipe))
    words = ["run", "nine.json", "--data", "data", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "bertmod", *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "nine"


@pytest.fixture
def published(monkeypatch):
    """States how many rows are published of every file."""

    def state(count: int) -> None:
        from dataclasses import replace

        files = tuple(replace(file, rows=count) for file in SUBMISSION)
        monkeypatch.setattr("bertmod.inference.submission.SUBMISSION", files)

    return state


@pytest.fixture
def refused(refused):
    """As of any command, of submit."""
    return lambda message, *words: refused(message, "submit", *words)


def rows_of(path: Path) -> dict[str, list[list[str]]]:
    """The rows of every file of a zip, headers included."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    return {name: [line.split("\t") for line in text.splitlines()] for name, text in texts.items()}


def test_a_whole_submission(here, nine, data, tmp_path, published) -> None:
    published(3)
    result = here("submit", nine)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == (
        "file         task  rows\n"
        "AX.tsv       ax       3\n"
        "CoLA.tsv     cola     3\n"
        "MNLI-m.tsv   mnli     3\n"
        "MNLI-mm.tsv  mnli     3\n"
        "MRPC.tsv     mrpc     3\n"
        "QNLI.tsv     qnli     3\n"
        "QQP.tsv      qqp      3\n"
        "RTE.tsv      rte      3\n"
        "SST-2.tsv    sst2     3\n"
        "STS-B.tsv    stsb     3\n"
        "WNLI.tsv     wnli     3\n"
        "submission.zip: 11 files, 33 rows\n"
    )
    found = rows_of(tmp_path / "submission.zip")
    assert list(found) == sorted(PUBLISHED)
    for name, (header, *rows) in found.items():
        assert header == ["index", "prediction"]
        first = 9796 if name == "MNLI-mm.tsv" else 0
        assert [index for index, _ in rows] == [str(first + n) for n in range(3)]
        answers = {answer for _, answer in rows}
        if name == "STS-B.tsv":
            assert all(answer == f"{float(answer):.3f}" for answer in answers)
        else:
            known = {"entailment", "not_entailment", "neutral", "contradiction"}
            assert answers <= (known if name in NLI else {"0", "1"})


def test_the_same_bytes_again(here, nine, tmp_path, published) -> None:
    published(3)
    for name in ("one.zip", "two.zip"):
        assert here("submit", nine, "--output", name).returncode == 0
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_DEFLATED
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)


def test_the_files_are_those_of_predict(here, nine, data, tmp_path, published) -> None:
    """The diagnostic set is answered by MNLI's head, though the run has no task for it."""
    published(3)
    for source in ("mean", "best"):
        assert here("submit", nine, "--from", source, "--output", "x.zip").returncode == 0
        assert here("predict", nine, "--from", source, "--output", source).returncode == 0
        words = ("--task", "mnli", "--input", data / "diagnostic/diagnostic.tsv")
        ax = here("predict", nine, "--from", source, *words).stdout
        with zipfile.ZipFile(tmp_path / "x.zip") as archive:
            for name in PUBLISHED:
                wanted = ax if name == "AX.tsv" else (tmp_path / source / name).read_text()
                assert archive.read(name).decode() == wanted


def test_a_run_with_a_task_for_the_diagnostic_set(here, trained, data, tmp_path) -> None:
    words = ("--data", data, "--partial", "--task", "ax")
    result = here("submit", trained, *words)
    assert (result.returncode, result.stderr) == (0, "")
    assert list(rows_of(tmp_path / "submission.zip")) == ["AX.tsv"]


def test_what_would_be_missing(refused, trained, data, tmp_path) -> None:
    counts = "".join(
        f"  {name}: {data / COLUMNS[name][0]} has 3 rows, {rows:,} are published\n"
        for name, rows in PUBLISHED.items()
        if name not in ("QQP.tsv", "WNLI.tsv")
    )
    (tmp_path / "data").symlink_to(data)
    held = (data / "QQP/test.tsv").rename(data / "QQP/held.tsv")
    try:
        before, after = counts.split(f"  RTE.tsv: {data}")
        refused(
            f"error: the submission would not be complete\n{before}"
            f"  QQP.tsv: there is no {data}/QQP/test.tsv\n"
            f'  RTE.tsv: {data}{after}  WNLI.tsv: the run has no task "wnli"\n{TAIL}',
            *(trained, "--data", data),
        )
    finally:
        held.rename(data / "QQP/test.tsv")


def test_a_partial_submission(here, trained, data, tmp_path, published) -> None:
    published(3)
    (data / "CoLA/test.tsv").rename(data / "CoLA/held.tsv")
    short = (data / "RTE/test.tsv").read_text()
    (data / "RTE/test.tsv").write_text("".join(short.splitlines(keepends=True)[:-1]))
    try:
        result = here("submit", trained, "--data", data, "--partial", "--output", "part.zip")
    finally:
        (data / "CoLA/held.tsv").rename(data / "CoLA/test.tsv")
        (data / "RTE/test.tsv").write_text(short)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-5:] == [
        "part.zip: 9 files, 26 rows",
        f"left out: CoLA.tsv: there is no {data}/CoLA/test.tsv",
        f"uneven: RTE.tsv: {data}/RTE/test.tsv has 2 rows, 3 are published",
        'left out: WNLI.tsv: the run has no task "wnli"',
        "GLUE's server takes all files with every row: it will refuse this one",
    ]
    found = rows_of(tmp_path / "part.zip")
    assert set(PUBLISHED) - set(found) == {"CoLA.tsv", "WNLI.tsv"}
    assert len(found["RTE.tsv"]) == 3


def test_chosen_tasks(here, refused, trained, data, tmp_path, published) -> None:
    published(3)
    names = {"CoLA": "cola", "MRPC": "mrpc", "QNLI": "qnli", "QQP": "qqp"}
    names |= {"RTE": "rte", "SST-2": "sst2", "STS-B": "stsb"}
    told = "".join(f"  {name}.tsv: --task leaves out {task}\n" for name, task in names.items())
    refused(
        f"error: the submission would not be complete\n  AX.tsv: --task leaves out ax\n{told}"
        f'  WNLI.tsv: the run has no task "wnli"\n{TAIL}',
        *(trained, "--data", data, "--task", "mnli"),
    )
    words = ("--data", data, "--task", "mnli", "--partial")
    assert here("submit", trained, *words).returncode == 0
    assert list(rows_of(tmp_path / "submission.zip")) == ["MNLI-m.tsv", "MNLI-mm.tsv"]
    refused(
        'error: no task "wnly" in this run\n'
        "  it has: cola, mrpc, mnli, rte, stsb, sst2, qqp, qnli, ax\n",
        *(trained, "--task", "wnly"),
    )


def test_two_tasks_for_one_file(here, refused, recipe, data, tmp_path) -> None:
    tasks = [{"name": "mnli"}, {"name": "mnli", "id": "again"}]
    assert here("run", recipe(tasks=tasks), "--data", data, "--quiet").returncode == 0
    refused(
        "error: MNLI-m.tsv: tasks mnli and again of the run would answer it\n"
        "  choose with --task\n",
        *("runs/tiny", "--partial"),
    )
    words = ("--partial", "--task", "again", "--task", "ax")
    result = here("submit", "runs/tiny", *words)
    assert (result.returncode, result.stderr) == (0, "")
    assert list(rows_of(tmp_path / "submission.zip")) == ["AX.tsv", "MNLI-m.tsv", "MNLI-mm.tsv"]


def test_a_run_without_a_task_of_glue_s_test_files(refused, recipe, here, cola) -> None:
    assert here("run", recipe(), "--data", cola, "--quiet").returncode == 0
    lacking = {file.name: file.lender or file.task for file in SUBMISSION if file.task != "cola"}
    told = {name: f'the run has no task "{task}"' for name, task in lacking.items()}
    told["CoLA.tsv"] = f"there is no {cola}/CoLA/test.tsv"
    refused(
        "error: no file of GLUE can be answered\n"
        + "".join(f"  {name}: {told[name]}\n" for name in sorted(told)),
        *("runs/tiny", "--partial"),
    )


def test_a_malformed_test_row(refused, trained, data) -> None:
    path = data / "RTE/test.tsv"
    whole = path.read_text()
    path.write_text(whole + "7\tonly one text\n")
    try:
        refused(
            f"error: {path}: 1 malformed row of 4\n"
            "  line 5: 2 columns, not 3\n"
            "  every row of a test file gets a prediction, so none can be left out\n",
            *(trained, "--data", data, "--task", "rte", "--partial"),
        )
    finally:
        path.write_text(whole)


def test_arguments(refused, trained, tmp_path) -> None:
    (tmp_path / "folder.zip").mkdir()
    refused("error: x.tar: a submission is a .zip file\n", trained, "--output", "x.tar")
    refused("error: folder.zip: is a folder, not a file\n", trained, "--output", "folder.zip")
    refused("error: no/x.zip: there is no folder no\n", trained, "--output", "no/x.zip")
    refused("error: no: not a run folder (it has no recipe.json)\n", "no")
    refused(
        "error: no: no such data folder\n  . has: folder.zip\n  name another with --data DIR\n",
        *(trained, "--data", "no"),
    )


def test_ctrl_c_leaves_nothing(here, nine, published, tmp_path, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    published(3)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    before = sorted(tmp_path.rglob("*"))
    for place in ("bertmod.inference.submission._zipped", "bertmod.data.durable.os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(place, interrupt)
            result = here("submit", nine)
        assert (result.returncode, result.stdout, result.stderr) == (130, "", "interrupted\n")
        assert sorted(tmp_path.rglob("*")) == before


def test_published_columns_and_counts() -> None:
    """Every file that the server takes, with the rows that were published."""
    assert PUBLISHED == {
        "AX.tsv": 1104,
        "CoLA.tsv": 1063,
        "MNLI-m.tsv": 9796,
        "MNLI-mm.tsv": 9847,
        "MRPC.tsv": 1725,
        "QNLI.tsv": 5463,
        "QQP.tsv": 390965,
        "RTE.tsv": 3000,
        "SST-2.tsv": 1821,
        "STS-B.tsv": 1379,
        "WNLI.tsv": 146,
    }


@pytest.mark.shared
def test_the_real_test_files(here, nine, glue, tmp_path) -> None:
    """Every row of the six test files that are there, under the published ids."""
    result = here("submit", nine, "--data", glue, "--partial")
    assert (result.returncode, result.stderr) == (0, "")
    assert "uneven" not in result.stdout
    found = rows_of(tmp_path / "submission.zip")
    assert set(found) == {"CoLA.tsv", "MRPC.tsv", "RTE.tsv", "SST-2.tsv", "STS-B.tsv", "WNLI.tsv"}
    for name, (_, *rows) in found.items():
        assert len(rows) == PUBLISHED[name]
        assert [index for index, _ in rows] == [str(n) for n in range(len(rows))]
