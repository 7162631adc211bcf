"""``bertmod predict``: answers for tables and for whole test splits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

GLUE_FILES = {
    "cola": ("CoLA", "test", "CoLA.tsv"),
    "mrpc": ("MRPC", "test", "MRPC.tsv"),
    "mnli": ("MNLI", "test_matched", "MNLI-m.tsv"),
    "rte": ("RTE", "test", "RTE.tsv"),
    "stsb": ("STS-B", "test", "STS-B.tsv"),
    "sst2": ("SST-2", "test", "SST-2.tsv"),
    "qqp": ("QQP", "test", "QQP.tsv"),
    "qnli": ("QNLI", "test", "QNLI.tsv"),
}
LABELS = {
    "mnli": {"contradiction", "entailment", "neutral"},
    "rte": {"not_entailment", "entailment"},
    "qnli": {"not_entailment", "entailment"},
}


@pytest.fixture
def refused(refused, trained):
    """As of any command, of predict on the run."""
    return lambda message, *words: refused(message, "predict", trained, *words)


def rows_of(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()]


@pytest.mark.parametrize("task", GLUE_FILES)
def test_a_test_file_gives_the_submission_form(here, trained, sample, tmp_path, task) -> None:
    folder, split, _ = GLUE_FILES[task]
    file = sample / folder / f"{split}.tsv"
    result = here("predict", trained, "--task", task, "--input", file, "--output", "y.tsv")
    rows, asked = rows_of(tmp_path / "y.tsv"), rows_of(file)[1:]
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == f"y.tsv: {len(asked)} predictions of task {task}\n"
    assert rows[0] == ["index", "prediction"]
    assert [index for index, _ in rows[1:]] == [row[0] for row in asked]
    answers = {answer for _, answer in rows[1:]}
    if task == "stsb":
        assert all(len(answer.split(".")[1]) == 3 for answer in answers)
        assert all(0 <= float(answer) <= 5 for answer in answers)
    else:
        assert answers <= LABELS.get(task, {"0", "1"})


def test_every_test_split_at_once(bertmod, here, trained, sample, tmp_path) -> None:
    result = bertmod("predict", trained, "--output", "all")
    assert (result.returncode, result.stdout) == (0, "")
    assert f"ax: passed over, there is no {sample}/diagnostic/diagnostic.tsv\n" in result.stderr
    expected = {file for _, _, file in GLUE_FILES.values()} | {"MNLI-mm.tsv"}
    assert {path.name for path in (tmp_path / "all").iterdir()} == expected
    for task, (folder, split, name) in GLUE_FILES.items():
        file = sample / folder / f"{split}.tsv"
        here("predict", trained, "--task", task, "--input", file, "--output", "one.tsv")
        assert (tmp_path / "one.tsv").read_bytes() == (tmp_path / "all" / name).read_bytes()


def test_chosen_tasks_on_other_data(here, trained, sample, tmp_path) -> None:
    data = Path(shutil.copytree(sample, tmp_path / "data"))
    (data / "AX").mkdir()
    (data / "AX/AX.tsv").write_text("index\tsentence1\tsentence2\n7\tA cat sat.\tA cat.\n")
    words = ("--task", "ax", "--task", "rte", "--data", "data", "--output", "out")
    result = here("predict", trained, *words)
    assert (result.returncode, result.stderr) == (
        0,
        "out/RTE.tsv: predictions of task rte\nout/AX.tsv: predictions of task ax\n",
    )
    rows = rows_of(tmp_path / "out/AX.tsv")
    assert (len(rows), rows[1][0]) == (2, "7")
    assert rows[1][1] in LABELS["mnli"]


def test_a_folder_of_test_files_alone(bertmod, here, trained, sample, tmp_path) -> None:
    data = tmp_path / "data"
    (data / "RTE").mkdir(parents=True)
    shutil.copy(sample / "RTE/test.tsv", data / "RTE")
    here("predict", trained, "--task", "rte", "--data", "data", "--output", "out")
    assert (tmp_path / "out/RTE.tsv").is_file()
    result = bertmod("evaluate", trained, "--task", "rte", "--data", "data")
    assert result.returncode == 2
    assert "data/RTE/dev.tsv: no such file" in result.stderr


def test_tasks_without_test_files(refused, sample, tmp_path) -> None:
    """A task that is named must answer; of all tasks, one at least."""
    missing = f"there is no {sample}/diagnostic/diagnostic.tsv"
    for beside in ((), ("--task", "rte"), ("--task", "all")):
        words = (*beside, "--task", "ax", "--output", "out")
        refused(f'error: task "ax" was not answered: {missing}\n', *words)
    data = tmp_path / "data"
    for folder, split, _ in GLUE_FILES.values():
        (data / folder).mkdir(parents=True)
        shutil.copy(sample / folder / f"{split.replace('test', 'dev')}.tsv", data / folder)
    reasons = "".join(
        f"  {task}: there is no data/{folder}/{split}.tsv\n"
        for task, (folder, split, _) in GLUE_FILES.items()
    )
    for words in ((), ("--task", "all")):
        refused(
            f"error: no task has a test split to answer\n{reasons}"
            "  ax: there is no data/diagnostic/diagnostic.tsv\n",
            *words,
            *("--data", "data", "--output", "out"),
        )


def test_a_borrower_answers_as_its_lender(here, trained, sample) -> None:
    file = sample / "MNLI/test_matched.tsv"
    lent = here("predict", trained, "--task", "mnli", "--input", file)
    borrowed = here("predict", trained, "--task", "ax", "--input", file)
    assert lent.returncode == borrowed.returncode == 0
    assert lent.stdout == borrowed.stdout


def test_the_run_wrote_what_predict_answers(here, trained, sample, tmp_path) -> None:
    for task, folder, split in (("mnli", "MNLI", "dev_matched"), ("stsb", "STS-B", "dev")):
        words = ("--input", sample / folder / f"{split}.tsv", "--output", "y.tsv")
        result = here("predict", trained, "--task", task, "--from", "final", *words)
        assert result.returncode == 0
        written = trained / "predictions" / f"{task}.{split}.tsv"
        assert (tmp_path / "y.tsv").read_bytes() == written.read_bytes()


def test_named_columns_in_every_form(here, table, trained, tmp_path) -> None:
    pairs = [("A cat, sat.", 'He said "cat".'), ("No.", "Yes, no.")]
    table("x.tsv", "a\tb\n" + "".join(f"{one}\t{two}\n" for one, two in pairs))
    quoted = ('"{}","{}"\n'.format(one, two.replace('"', '""')) for one, two in pairs)
    table("x.csv", "a,b\n" + "".join(quoted))
    lines = (json.dumps({"a": one, "b": two, "more": 1}) + "\n" for one, two in pairs)
    table("x.jsonl", "".join(lines))
    answers = []
    for name in ("x.tsv", "x.csv", "x.jsonl"):
        words = ("--task", "rte", "--input", name, "--columns", "a, b", "--output", "y.jsonl")
        assert here("predict", trained, *words).returncode == 0
        answers.append((tmp_path / "y.jsonl").read_text())
    assert answers[0] == answers[1] == answers[2]
    first, second = map(json.loads, answers[0].splitlines())
    assert (first["id"], second["id"]) == ("0", "1")
    assert set(first["probabilities"]) == LABELS["rte"]
    assert sum(first["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert first["label"] == max(first["probabilities"], key=first["probabilities"].get)


def test_known_columns_and_ids_to_standard_output(here, table, trained) -> None:
    table("x.csv", "id,premise,hypothesis\nq7,A cat.,A dog.\nq8,A cat.,A cat.\n")
    result = here("predict", trained, "--task", "mnli", "--input", "x.csv")
    assert (result.returncode, result.stderr) == (0, "")
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == ["index", "q7", "q8"]


def test_sources(here, table, trained) -> None:
    table("x.tsv", "sentence\nA cat sat.\n")
    words = ("--task", "cola", "--input", "x.tsv")
    for source in ("mean", "best", "final"):
        result = here("predict", trained, *words, "--from", source)
        assert (result.returncode, result.stdout.splitlines()[0]) == (0, "index\tprediction")


def test_a_run_answers_without_its_data(here, recipe, cola, table, tmp_path) -> None:
    assert here("run", recipe(), "--data", "data", "--output", "run", "--quiet").returncode == 0
    shutil.rmtree(cola)
    (tmp_path / "run").rename(tmp_path / "moved")
    table("x.tsv", "text\nThe cat sat.\n")
    result = here("predict", "moved", "--input", "x.tsv")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout in ("index\tprediction\n0\t0\n", "index\tprediction\n0\t1\n")
    result = here("evaluate", "moved")
    assert (result.returncode, result.stderr) == (
        2,
        f"error: {cola}: no such data folder\n"
        f"  {tmp_path} has: moved, tiny.json, x.tsv\n"
        "  name another with --data DIR\n",
    )


def test_what_stands_beside_the_rows(refused, table) -> None:
    name = table("x.tsv", "text\nA cat.\n")
    refused(
        "error: --data and --input: rows are answered from one of the two, not both\n",
        *("--task", "cola", "--input", name, "--data", "x"),
    )
    refused(
        "error: --columns names columns of --input, which is not given\n",
        *("--columns", "a", "--output", "out"),
    )
    refused(
        "error: give --input FILE, whose rows are to be answered, or --text TEXT, or --output "
        "FOLDER for the answers of the test splits\n",
        *("--task", "cola"),
    )
    refused(
        "error: --input: say which task answers, with --task ID, or --task all for every one\n"
        "  the run has: cola, mrpc, mnli, rte, stsb, sst2, qqp, qnli, ax\n",
        *("--input", name),
    )


def test_an_unknown_task(refused, table) -> None:
    name = table("x.tsv", "text\nA cat.\n")
    refused(
        'error: no task "colla" in this run\n'
        "  it has: cola, mrpc, mnli, rte, stsb, sst2, qqp, qnli, ax\n",
        *("--task", "colla", "--input", name),
    )


def test_columns_that_are_missing(refused, table) -> None:
    name = table("x.tsv", "a\tb\nA cat.\tA dog.\n")
    refused(
        'error: x.tsv, row 1: task "cola": the text is missing\n'
        '  given: "a", "b"\n'
        '  accepted: "text" or "sentence"\n',
        *("--task", "cola", "--input", name),
    )
    refused(
        'error: x.tsv, row 1: no column "c"; it has: a, b\n',
        *("--task", "rte", "--input", name, "--columns", "a,c"),
    )
    refused(
        'error: x.tsv, row 1: task "rte": the second text is missing\n'
        '  given: "text"\n'
        '  accepted: "text_pair" or "sentence2" or "hypothesis"\n',
        *("--task", "rte", "--input", name, "--columns", "a"),
    )
    refused(
        "error: --columns a,b: the task has one text, name its column alone\n",
        *("--task", "cola", "--input", name, "--columns", "a,b"),
    )


def test_a_row_that_lacks_a_column(refused, table) -> None:
    name = table("x.jsonl", '{"a": "A cat.", "b": "No."}\n{"a": "A dog."}\n')
    refused(
        'error: x.jsonl, row 2: no column "b"; it has: a\n',
        *("--task", "rte", "--input", name, "--columns", "a,b"),
    )


def test_an_input_that_cannot_be_read(refused, table) -> None:
    words = ("--task", "cola", "--input")
    missing = "error: x.tsv: cannot be read: No such file or directory\n"
    refused(missing, *words, "x.tsv")
    endings = "error: x.txt: input files end in .tsv, .csv, .jsonl, .parquet\n"
    refused(endings, *words, table("x.txt", "text\nA cat.\n"))
    refused("error: e.tsv: the table has no rows\n", *words, table("e.tsv", "text\n"))
    wide = "error: w.tsv, line 3: 2 columns, the header has 1\n"
    refused(wide, *words, table("w.tsv", "text\nA cat.\nA\tB\n"))


def test_an_output_is_checked_before_any_work(refused, table, tmp_path) -> None:
    (tmp_path / "folder.tsv").mkdir()
    words = ("--task", "cola", "--input", "not_even_looked_for.tsv", "--output")
    refused("error: y.txt: output files end in .tsv, .json, .jsonl\n", *words, "y.txt")
    refused("error: no/y.tsv: there is no folder no\n", *words, "no/y.tsv")
    refused("error: folder.tsv: is a folder, not a file\n", *words, "folder.tsv")
    table("file", "")
    refused(
        "error: file: is a file; without --input the answers need a folder\n",
        *("--output", "file"),
    )
    refused("error: no/y: there is no folder no\n", *("--output", "no/y"))


def test_a_device_that_is_none(refused, table) -> None:
    name = table("x.tsv", "text\nA cat.\n")
    refused(
        "error: Invalid value for '--device': no device \"gpu\"; accepted: auto, cpu, cuda, "
        "cuda:N\ntry: bertmod predict --help\n",
        *("--task", "cola", "--input", name, "--device", "gpu"),
    )
