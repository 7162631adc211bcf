"""Folders that commands make."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from bertmod.data.new_folder import new_folder, require_new
from bertmod.errors import DataError


def fill(target: Path, text: str = "x") -> None:
    with new_folder(target) as folder:
        assert not list(target.iterdir() if target.exists() else ())
        (folder / "file.txt").write_text(text)


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_is_new_or_empty(tmp_path: Path, there: bool) -> None:
    target = tmp_path / "out"
    if there:
        target.mkdir()
    fill(target)
    assert (target / "file.txt").read_text() == "x"
    assert list(tmp_path.iterdir()) == [target]


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(Path("out"))
    assert (tmp_path / "out/file.txt").is_file()


def test_what_is_there_already(tmp_path: Path) -> None:
    folder, file, link = tmp_path / "folder", tmp_path / "file", tmp_path / "link"
    fill(folder)
    file.write_text("x")
    link.symlink_to(tmp_path / "nowhere")
    for target in (folder, file, link):
        for refusal in (require_new, fill):
            with pytest.raises(DataError) as caught:
                refusal(target)
            assert str(caught.value) == f"{target}: exists already; name another folder"
    assert (folder / "file.txt").read_text() == "x"


def test_no_place_for_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        require_new(tmp_path / "no/out")
    assert str(caught.value) == f"{tmp_path / 'no/out'}: there is no folder {tmp_path / 'no'}"


def fail(target: Path, error: Exception) -> None:
    with new_folder(target) as folder:
        (folder / "file.txt").write_text("x")
        raise error


def test_what_goes_wrong_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(KeyError):
        fail(target, KeyError())
    with pytest.raises(DataError) as caught:
        fail(target, OSError(errno.ENOSPC, "No space left on device"))
    assert str(caught.value) == f"{target}: cannot be written: No space left on device"
    assert not list(tmp_path.iterdir())
