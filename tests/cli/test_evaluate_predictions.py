"""``bertmod evaluate --predictions``: files of answers, scored as SQuAD's programs do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PICTURES = [
    *("na_prob_hist_hasAns.png", "na_prob_hist_noAns.png"),
    *("pr_exact.png", "pr_f1.png", "pr_oracle.png"),
]
ANSWERS = {"a": "the cat", "b": "a dog", "c": "fish"}
ODDS = {"a": -3.5, "b": 0.5, "c": 2}
MISSING = "p.json: no prediction for 2 questions (b, c)"


def squad(version: str) -> dict[str, Any]:
    texts = {"a": ["cat"], "b": ["big dog", "dog house"], "c": ["sun"] if version == "1.1" else []}
    questions = [
        {"id": id_, "question": "?", "answers": [{"text": text} for text in found]}
        for id_, found in texts.items()
    ]
    return {"version": version, "data": [{"paragraphs": [{"context": "", "qas": questions}]}]}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    """Writes JSON files into the working folder, each under its keyword."""

    def write_files(**values: Any) -> None:
        for name, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            (tmp_path / f"{name}.json").write_text(text)

    return write_files


@pytest.fixture(autouse=True)
def _files(write) -> None:
    write(one=squad("1.1"), two=squad("v2.0"), p=ANSWERS, odds=ODDS)


WORDS = ("evaluate", "--predictions", "p.json")
SECOND = (*WORDS, "--data", "two.json", "--null-odds", "odds.json")


def test_version_1(here, tmp_path) -> None:
    result = here(*WORDS, "--data", "one.json", "--output", "scores.json")
    expected = '{\n  "exact_match": 33.333333333333336,\n  "f1": 55.55555555555555\n}\n'
    assert (result.returncode, result.stdout, result.stderr) == (0, expected, "")
    assert (tmp_path / "scores.json").read_text() == expected


def test_version_2_with_a_threshold(here) -> None:
    result = here(*SECOND, "--null-threshold", "0")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        **{"exact": pytest.approx(200 / 3), "f1": pytest.approx(200 / 3), "total": 3},
        **{"HasAns_exact": 50.0, "HasAns_f1": 50.0, "HasAns_total": 2},
        **{"NoAns_exact": 100.0, "NoAns_f1": 100.0, "NoAns_total": 1},
        **{"best_exact": pytest.approx(200 / 3), "best_exact_thresh": -3.5},
        **{"best_f1": pytest.approx(100 * (1 + 2 / 3 + 1) / 3), "best_f1_thresh": 0.5},
    }


def test_missing_predictions_of_version_1_count_0(here, write) -> None:
    write(p={"a": "cat"})
    result = here(*WORDS, "--data", "one.json")
    assert (result.returncode, result.stderr) == (0, f"WARNING: {MISSING}; counted as wrong\n")
    assert json.loads(result.stdout)["exact_match"] == pytest.approx(100 / 3)


def test_missing_predictions_of_version_2_are_refused(here, write) -> None:
    write(p={"a": "cat"})
    result = here(*SECOND)
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        f"error: {MISSING}\n  with --partial these count as wrong\n",
    )
    result = here(*SECOND, "--partial")
    assert (result.returncode, result.stderr) == (0, f"WARNING: {MISSING}; counted as wrong\n")
    scores = json.loads(result.stdout)
    assert (scores["exact"], scores["total"]) == (pytest.approx(100 / 3), 3)


@pytest.mark.shared
@pytest.mark.parametrize("run", ["seq64_stride24_uncased", "seq384_stride128_uncased"])
def test_the_official_numbers(here, golden, run, tmp_path) -> None:
    case = golden / "06_squad_v2.0"
    expected = json.loads((case / run / "evaluation.json").read_text())
    words = ("evaluate", "--predictions", case / run / "predictions.json")
    words = (*words, "--data", case / "input.json")
    assert json.loads(here(*words).stdout) == expected["evaluate-v2.0"]
    words = (*words, "--null-odds", case / run / "null_odds.json")
    plain = expected["evaluate-v2.0 --na-prob-file null_odds.json"]
    assert json.loads(here(*words).stdout) == plain
    curves = expected["precision-recall analysis with null_odds.json"]
    result = here(*words, "--plots", "new")
    assert list(json.loads(result.stdout).items()) == list({**plain, **curves}.items())
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == PICTURES


def test_pictures(here, tmp_path) -> None:
    result = here(*SECOND, "--plots", "drawn")
    assert (result.returncode, result.stderr) == (0, "")
    assert list(json.loads(result.stdout))[-3:] == ["pr_exact_ap", "pr_f1_ap", "pr_oracle_ap"]
    for name in PICTURES:
        assert (tmp_path / "drawn" / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_pictures_without_matplotlib(here, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = here(*SECOND, "--plots", "drawn")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        'error: --plots: matplotlib is not installed\n  pip install "bertmod[plots]"\n',
    )
    assert not (tmp_path / "drawn").exists()


def test_a_data_folder(here, write, tmp_path) -> None:
    (tmp_path / "SQuAD").mkdir()
    (tmp_path / "one.json").rename(tmp_path / "SQuAD/dev-v1.1.json")
    assert here(*WORDS, "--data", ".").stdout == here(*WORDS, "--data", "SQuAD").stdout != ""


def test_a_run_that_knows_no_squad(here, trained) -> None:
    result = here("evaluate", trained, "--predictions", "p.json")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        f"error: --predictions: no task of {trained} is squad's\n"
        "  name the questions with --data FILE\n",
    )
    assert here("evaluate", trained, *WORDS[1:], "--data", "one.json").returncode == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            WORDS,
            "--predictions: of which questions?\n"
            "  name their file with --data FILE, or a RUN that was trained on SQuAD",
        ),
        (("evaluate",), "nothing to score\n  name a RUN folder, or --predictions FILE"),
        ((*WORDS, "--data", "no.json"), "no.json: cannot be read: No such file or directory"),
        (
            (*WORDS, "--data", "one.json", "--null-odds", "odds.json"),
            "odds.json: null odds are for SQuAD 2.0, but one.json is of version 1.1",
        ),
        (
            (*WORDS, "--data", "two.json", "--null-threshold", "1"),
            "--null-threshold goes with --null-odds FILE, which is not given",
        ),
        (
            (*WORDS, "--data", "two.json", "--plots", "x"),
            "--plots goes with --null-odds FILE, which is not given",
        ),
        ((*SECOND, "--plots", "p.json"), "p.json: is a file; --plots draws into a folder"),
        ((*SECOND, "--plots", "no/x"), "no/x: there is no folder no"),
        ((*SECOND, "--output", "no/x.json"), "no/x.json: there is no folder no"),
        ((*SECOND, "--device", "cpu"), "--device does not go with --predictions"),
        ((*SECOND, "--format", "google"), "--format does not go with --predictions"),
        ((*SECOND, "--task", "x"), "--task chooses a task of RUN, which is not given"),
        (("evaluate", "run", "--partial"), "--partial goes with --predictions FILE, which is not"),
    ],
)
def test_words_that_are_refused(here, words, message) -> None:
    result = here(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"p": "{"}, "p.json, line 1, column 2: not JSON: Expecting property name enclosed in "),
        ({"p": [ANSWERS]}, "p.json: must be one JSON object, question id to an answer, a text\n"),
        ({"p": {"a": None}}, 'p.json: question "a" must have an answer, a text, not null\n'),
        (
            {"p": {**ANSWERS, "x": ""}},
            "p.json: 1 question (x) that two.json does not have\n"
            "  score predictions against the file that they were made of\n",
        ),
        (
            {"odds": {**ODDS, "x": 1}},
            "odds.json: 1 question (x) that two.json does not have\n",
        ),
        (
            {"odds": {"a": 1}},
            "odds.json: no null odds for 2 questions (b, c)\n"
            "  every question with a prediction needs them\n",
        ),
        ({"two": "[]"}, "two.json, top level: must be an object, not a list, so this is not a "),
    ],
)
def test_files_that_are_refused(here, write, files, message) -> None:
    write(**files)
    result = here(*SECOND, "--output", "scores.json")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}")
    assert not Path("scores.json").exists()


def test_neither_torch_nor_scipy_is_loaded(env, tmp_path) -> None:
    program = (
        "import sys; from bertmod.cli import main\n"
        f"status = main({list(SECOND)!r})\n"
        "heavy = {'torch', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert status == 0 and not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(env), cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
