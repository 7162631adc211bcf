"""Writing that a kill or a full disk cannot leave half done."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bertmod.data.durable import (
    discard_folder,
    existing_folder,
    replace_folder,
    write_file,
    write_folder,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced(tmp_path) -> None:
    path = tmp_path / "recipe.json"
    write_file(path, "old")
    write_file(path, "neu: ä")
    assert path.read_text(encoding="utf-8") == "neu: ä"
    write_file(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert names(tmp_path) == ["recipe.json"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch) -> None:
    path = tmp_path / "recipe.json"
    write_file(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["recipe.json"]


def test_a_folder_takes_the_place_of_the_old_one(tmp_path) -> None:
    target = tmp_path / "mean"
    for text in ("old", "new"):
        with write_folder(target) as writing:
            (writing / "deep").mkdir()
            (writing / "deep" / "file").write_text(text)
            assert not target.exists() or (target / "deep" / "file").read_text() == "old"
    assert (target / "deep" / "file").read_text() == "new"
    assert names(tmp_path) == ["mean"]


def _spoil(writing: Path, error: type[BaseException]) -> None:
    (writing / "file").write_text("new")
    raise error


def test_a_block_that_raises_changes_nothing(tmp_path) -> None:
    target = tmp_path / "mean"
    with write_folder(target) as writing:
        (writing / "file").write_text("old")
    for error in (OSError, KeyboardInterrupt):
        with pytest.raises(error), write_folder(target) as writing:
            _spoil(writing, error)
        assert (target / "file").read_text() == "old"
        assert names(tmp_path) == ["mean"]


def test_what_a_kill_left_is_cleared_away(tmp_path) -> None:
    for left in (".writing-mean", ".old-mean"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "file").write_text("left over")
    with write_folder(tmp_path / "mean") as writing:
        assert names(writing) == []
        (writing / "file").write_text("new")
    assert names(tmp_path) == ["mean"]


def test_readers_fall_back_to_what_was_moved_aside(tmp_path) -> None:
    target = tmp_path / "mean"
    assert existing_folder(target) is None
    target.mkdir()
    assert existing_folder(target) == target
    target.rename(tmp_path / ".old-mean")
    assert existing_folder(target) == tmp_path / ".old-mean"


KILLED = """
import os, sys
from pathlib import Path
from bertmod.data.durable import discard_folder, write_folder

stop, what, target = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
done = 0
for name in ("fsync", "rename", "rmdir", "unlink", "mkdir"):
    def step(*arguments, original=getattr(os, name), **options):
        global done
        done += 1
        if done == stop:
            os._exit(9)
        return original(*arguments, **options)
    setattr(os, name, step)
if what == "discard":
    discard_folder(target)
else:
    with write_folder(target) as writing:
        for name in "ab":
            (writing / name).write_text("new")
"""


@pytest.mark.parametrize("what", ["write", "discard"])
def test_stopped_before_any_system_call(tmp_path, what) -> None:
    """Readers find the old folder or the new one, whole; a discarded one whole or not at all."""
    seen = set()
    for stop in range(1, 40):
        target = tmp_path / str(stop) / "mean"
        target.mkdir(parents=True)
        for name in "ab":
            (target / name).write_text("old")
        pid = os.fork()
        if pid == 0:
            sys.argv = ["", str(stop), what, str(target)]
            try:
                exec(compile(KILLED, "killed", "exec"), {"__name__": "killed"})
            finally:
                os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        found = existing_folder(target)
        texts = {} if found is None else {p.name: p.read_text() for p in found.iterdir()}
        seen.add(tuple(texts.values()))
        if what == "write":
            assert texts in ({"a": "old", "b": "old"}, {"a": "new", "b": "new"}), stop
        elif target.is_dir():
            assert texts == {"a": "old", "b": "old"}
        with write_folder(target) as writing:
            (writing / "a").write_text("again")
        assert names(target.parent) == ["mean"]
        if status == 0:
            break
    assert status == 0
    assert len(seen) >= 2


def test_replacing_and_discarding(tmp_path) -> None:
    for name in ("new", "mean"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    replace_folder(tmp_path / "new", tmp_path / "mean")
    assert (tmp_path / "mean" / "file").read_text() == "new"
    assert names(tmp_path) == ["mean"]
    discard_folder(tmp_path / "mean")
    assert names(tmp_path) == []
