from __future__ import annotations

import pytest

from bertmod.data.folder import find_file, require_files
from bertmod.errors import DataError


def refusal(data, *files: str) -> str:
    with pytest.raises(DataError) as caught:
        require_files(data, [data / file for file in files], owner='task "cola"')
    return str(caught.value).replace(str(data), "DATA")


def test_files_that_are_there(tmp_path) -> None:
    (tmp_path / "b.tsv").touch()
    require_files(tmp_path, [tmp_path / "b.tsv"], owner="task")
    assert find_file(tmp_path, ("a.tsv", "b.tsv")) == tmp_path / "b.tsv"
    assert find_file(tmp_path, ("a.tsv", "c.tsv")) == tmp_path / "a.tsv"


def test_no_data_folder(tmp_path) -> None:
    assert refusal(tmp_path / "none", "CoLA/train.tsv", "CoLA/dev.tsv") == (
        'DATA: no such data folder\n  task "cola" needs in it: CoLA/train.tsv, CoLA/dev.tsv'
    )
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file", "CoLA/train.tsv").startswith("DATA: not a folder\n")


def test_a_folder_in_other_letters(tmp_path) -> None:
    (tmp_path / "cola").mkdir()
    (tmp_path / "SST-2").mkdir()
    assert refusal(tmp_path, "CoLA/train.tsv", "CoLA/dev.tsv") == (
        'DATA/CoLA/train.tsv: no such file, task "cola" needs it\n'
        '  DATA/CoLA/dev.tsv: no such file, task "cola" needs it\n'
        "  DATA holds: SST-2, cola\n"
        '  rename "cola" to "CoLA" if it is the one'
    )


def test_one_file_missing(tmp_path) -> None:
    (tmp_path / "CoLA").mkdir()
    (tmp_path / "CoLA" / "train.tsv").touch()
    assert refusal(tmp_path, "CoLA/train.tsv", "CoLA/dev.tsv") == (
        'DATA/CoLA/dev.tsv: no such file, task "cola" needs it\n  DATA/CoLA holds: train.tsv'
    )


def test_a_long_or_empty_folder(tmp_path) -> None:
    (tmp_path / "CoLA").mkdir()
    assert refusal(tmp_path, "CoLA/dev.tsv").endswith("DATA/CoLA holds: nothing")
    for number in range(22):
        (tmp_path / "CoLA" / f"{number:02d}").touch()
    assert refusal(tmp_path, "CoLA/dev.tsv").endswith("18, 19 and 2 more")
