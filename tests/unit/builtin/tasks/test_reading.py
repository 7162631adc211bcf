"""From a data folder to examples."""

from __future__ import annotations

import pytest

from bertmod import DataError


def message(error: pytest.ExceptionInfo[DataError], data) -> str:
    return str(error.value).replace(str(data), "DATA")


def test_examples_of_a_single_text(make_task, data) -> None:
    task = make_task("cola")
    info = task.setup(data)
    assert (info.labels, info.value_range) == (("0", "1"), None)
    assert list(task.read("train")) == [
        {"id": "0", "texts": ("a b",), "label": "1"},
        {"id": "1", "texts": ("b a",), "label": "0"},
        {"id": "2", "texts": ("c",), "label": "1"},
    ]
    assert list(task.read("test")) == [
        {"id": "10", "texts": ("a b c",)},
        {"id": "11", "texts": ("d",)},
    ]


def test_examples_of_a_pair_with_a_value(make_task, data) -> None:
    task = make_task("stsb")
    info = task.setup(data)
    assert (info.labels, info.value_range) == (None, (0.0, 5.0))
    assert task.read("dev")[1:][0] == {"id": "4", "texts": ("c", "d"), "label": 0.0}
    assert task.read("dev")[-1] == {"id": "7", "texts": ("e", "f"), "label": 5.0}


def test_rows_without_gold_label_are_left_out_with_a_warning(make_task, data, caplog) -> None:
    task = make_task("mnli")
    task.setup(data)
    assert [example["id"] for example in task.read("dev_mismatched")] == ["0", "2"]
    assert caplog.messages == [
        f"{data}/MNLI/dev_mismatched.tsv: left out 1 malformed row of 3\n"
        '  line 3: label "-" is none of "contradiction", "entailment", "neutral"'
    ]


def test_ids_without_index_column_count_malformed_rows_too(make_task, data) -> None:
    (data / "CoLA" / "dev.tsv").write_text("s\t1\t\ta\nbroken\ns\t0\t\tc\n")
    task = make_task("cola")
    task.setup(data)
    assert [example["id"] for example in task.read("dev")] == ["0", "2"]


def test_strict_data(make_task, data) -> None:
    task = make_task("mnli", strict=True)
    task.setup(data)
    with pytest.raises(DataError) as caught:
        task.read("train")
    assert message(caught, data) == (
        "DATA/MNLI/train.tsv: 1 malformed row of 3\n"
        '  line 3: label "-" is none of "contradiction", "entailment", "neutral"\n'
        "  such rows are left out with a warning unless --strict-data is set"
    )


@pytest.mark.parametrize("score", ["", "x", "-0.1", "5.01", "nan", "inf"])
def test_scores_must_be_numbers_of_the_range(make_task, data, caplog, score) -> None:
    with (data / "STS-B" / "train.tsv").open("a") as file:
        file.write(f"8\tg\th\t{score}\n")
    task = make_task("stsb")
    task.setup(data)
    assert len(task.read("train")) == 3
    assert caplog.messages[0].endswith(f'\n  line 5: "{score}" is not a number from 0 to 5')


def test_empty_texts_are_kept(make_task, data) -> None:
    (data / "CoLA" / "dev.tsv").write_bytes("s\t1\t\t\r\ns\t0\t*\ta\x85b\r\n".encode())
    task = make_task("cola")
    task.setup(data)
    assert [example["texts"] for example in task.read("dev")] == [("",), ("a\x85b",)]


def test_a_malformed_test_row_is_an_error(make_task, data) -> None:
    (data / "CoLA" / "test.tsv").write_text("index\tsentence\n0\ta\n1\ta\tb\n")
    task = make_task("cola")
    task.setup(data)
    with pytest.raises(DataError) as caught:
        task.read("test")
    assert message(caught, data) == (
        "DATA/CoLA/test.tsv: 1 malformed row of 2\n  line 3: 3 columns, not 2\n"
        "  every row of a test file gets a prediction, so none can be left out"
    )


def test_every_label_unknown(make_task, data) -> None:
    (data / "CoLA" / "train.tsv").write_text("s\tgood\t\ta\n")
    task = make_task("cola")
    task.setup(data)
    with pytest.raises(DataError) as caught:
        task.read("train")
    assert message(caught, data) == (
        "DATA/CoLA/train.tsv: every row is malformed (1)\n"
        '  line 1: label "good" is none of "0", "1"'
    )


def test_setup_needs_train_and_dev_files_only(make_task, data) -> None:
    (data / "MNLI" / "test_matched.tsv").unlink()
    task = make_task("mnli")
    task.setup(data)
    with pytest.raises(DataError) as caught:
        task.read("test_matched")
    assert message(caught, data) == (
        'DATA/MNLI/test_matched.tsv: no such file, task "mnli" needs it\n'
        "  DATA/MNLI holds: dev_matched.tsv, dev_mismatched.tsv, test_mismatched.tsv, train.tsv"
    )
    (data / "MNLI" / "dev_mismatched.tsv").rename(data / "MNLI" / "Dev_Mismatched.tsv")
    with pytest.raises(DataError) as caught:
        task.setup(data)
    assert message(caught, data) == (
        'DATA/MNLI/dev_mismatched.tsv: no such file, task "mnli" needs it\n'
        "  DATA/MNLI holds: Dev_Mismatched.tsv, dev_matched.tsv, test_mismatched.tsv, train.tsv\n"
        '  rename "Dev_Mismatched.tsv" to "dev_mismatched.tsv" if it is the one'
    )


def test_setup_reads_no_rows(make_task, data) -> None:
    (data / "CoLA" / "train.tsv").write_text("")
    make_task("cola").setup(data)


def test_the_fingerprint_follows_the_training_data(make_task, data) -> None:
    first = make_task("cola").setup(data).fingerprint
    assert make_task("cola").setup(data).fingerprint == first
    (data / "CoLA" / "dev.tsv").write_text("s\t1\t\ta\n")
    assert make_task("cola").setup(data).fingerprint == first
    (data / "CoLA" / "train.tsv").write_text("s\t1\t\ta\n")
    assert make_task("cola").setup(data).fingerprint != first


def test_ax_needs_no_training_data_and_has_two_homes(make_task, data) -> None:
    task = make_task("ax")
    info = task.setup(data)
    assert info.labels == ("contradiction", "entailment", "neutral")
    assert len(task.read("test")) == 1
    (data / "AX").mkdir()
    (data / "diagnostic" / "diagnostic.tsv").rename(data / "AX" / "AX.tsv")
    assert task.files(data, "test") == (data / "AX" / "AX.tsv",)
    assert len(task.read("test")) == 1


def test_unknown_splits_and_missing_setup(make_task, data) -> None:
    task = make_task("cola")
    with pytest.raises(ValueError, match=r"^call setup\(data\) before reading a split$"):
        task.read("dev")
    task.setup(data)
    with pytest.raises(DataError, match=r'^task "cola" has no split "dev2"; it has: train, dev, t'):
        task.read("dev2")
    with pytest.raises(DataError, match=r'has no split "dev2"'):
        task.files(data, "dev2")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sentence1": "a", "sentence2": "b", "index": 7}, {"id": "7", "texts": ("a", "b")}),
        ({"text": "a", "text_pair": "b"}, {"id": "", "texts": ("a", "b")}),
        (
            {"id": 3, "premise": "a", "hypothesis": "", "label": "?"},
            {"id": "3", "texts": ("a", "")},
        ),
        ({"id": 3, "index": "x", "text": "a", "sentence2": "b"}, {"id": "x", "texts": ("a", "b")}),
        ({"text": "a", "premise": "a", "text_pair": "b"}, {"id": "", "texts": ("a", "b")}),
    ],
)
def test_an_example_by_hand(make_task, fields, expected) -> None:
    assert make_task("mnli").example(fields) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"sentence1": "a", "Sentence2": "b"},
            'task "mnli": the second text is missing\n'
            '  given: "sentence1", "Sentence2"\n'
            '  accepted: "text_pair" or "sentence2" or "hypothesis"',
        ),
        (
            {},
            'task "mnli": the text is missing\n  given: nothing\n'
            '  accepted: "text" or "sentence1" or "premise"',
        ),
        (
            {"text": "a", "premise": "b", "text_pair": "c"},
            'task "mnli": the text is given twice: as "text" or "premise"',
        ),
        ({"text": 3, "text_pair": "c"}, 'task "mnli": "text" must be text, not int'),
    ],
)
def test_an_example_by_hand_that_is_wrong(make_task, fields, expected) -> None:
    with pytest.raises(DataError) as caught:
        make_task("mnli").example(fields)
    assert str(caught.value) == expected


def test_examples_of_other_tasks_by_hand(make_task) -> None:
    assert make_task("cola").example({"sentence": "a"})["texts"] == ("a",)
    question = {"question": "a", "sentence": "b"}
    assert make_task("qnli").example(question)["texts"] == ("a", "b")
    assert make_task("qqp").example({"question1": "a", "question2": "b"})["texts"] == ("a", "b")
    assert make_task("mrpc").example({"#1 String": "a", "#2 String": "b"})["texts"] == ("a", "b")
