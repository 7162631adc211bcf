"""Who may use a run folder, and what is left when nobody trained."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bertmod import BertmodError, RunFolderError
from bertmod.engine.run_folder import RunFolder

OWNER = """
import sys, time
from pathlib import Path
from bertmod.engine.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])) as folder:
    (folder.path / "recipe.json").write_text("{}")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def owner(tmp_path):
    """A live process that owns ``tmp_path / "run"``."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def refusal(path: Path, *, resume: bool = False) -> str:
    with pytest.raises(RunFolderError) as error, RunFolder(path, resume=resume):
        pass
    assert error.value.exit_status == 2
    return str(error.value)


def test_a_folder_in_use_names_its_owner(tmp_path, owner) -> None:
    run = tmp_path / "run"
    before = sorted(path.name for path in run.iterdir())
    assert refusal(run, resume=True) == (
        f"{run}: in use by another run (process {owner.pid})\n"
        "  wait for it, stop it, or name another folder with --output"
    )
    assert sorted(path.name for path in run.iterdir()) == before


def test_a_folder_that_a_live_run_is_setting_up_is_in_use_too(tmp_path, owner) -> None:
    (tmp_path / "run" / "recipe.json").unlink()
    assert "in use by another run" in refusal(tmp_path / "run")


def test_the_lock_of_a_killed_run_is_stale(tmp_path, owner) -> None:
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    run = tmp_path / "run"
    assert (run / "run.pid").read_text() == f"{owner.pid}\n"
    with RunFolder(run, resume=True):
        assert (run / "run.pid").read_text() == f"{os.getpid()}\n"
        assert "in use by another run" in refusal(run, resume=True)
    assert not (run / "run.pid").exists()


def test_a_used_folder(tmp_path) -> None:
    run = tmp_path / "run"
    with RunFolder(run):
        (run / "recipe.json").write_text("{}")
    assert refusal(run) == (
        f"{run}: already holds a run\n"
        "  go on with it: --resume\n  start another: --output NEW_FOLDER"
    )


def test_somebody_elses_files_are_not_touched(tmp_path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "already holds a run" in refusal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder(tmp_path) -> None:
    path = tmp_path / "run"
    path.write_text("")
    assert refusal(path) == f"{path}: is a file; name a folder with --output"
    assert refusal(path / "deeper") == (
        f"{path / 'deeper'}: cannot write here: Not a directory\n"
        "  name a folder that you may write to with --output"
    )


def test_nothing_to_resume(tmp_path) -> None:
    assert refusal(tmp_path / "run", resume=True) == (
        f"{tmp_path / 'run'}: no run to resume here (it has no recipe.json)"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc, where nobody may write")
def test_a_place_where_nobody_may_write() -> None:
    message = refusal(Path("/proc/bertmod/run"))
    assert message.startswith("/proc/bertmod/run: cannot write here: ")
    assert message.endswith("\n  name a folder that you may write to with --output")


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from bertmod.engine.run_folder import RunFolder
from bertmod.errors import RunFolderError
os.setuid(65534)
try:
    RunFolder(Path(sys.argv[1])).__enter__()
except RunFolderError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("mode", [0o555, 0o700], ids=["may not write", "may not even look"])
def test_no_permission(tmp_path, mode) -> None:
    """As another user: root may write everywhere."""
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    run = tmp_path / "run"
    run.mkdir(mode=mode)
    run.chmod(mode)
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED, str(run)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == (
        f"{run}: cannot write here: Permission denied\n"
        "  name a folder that you may write to with --output\n"
    )
    assert list(run.iterdir()) == []


def test_abandoning_leaves_the_place_as_it_was(tmp_path) -> None:
    run = tmp_path / "some" / "where" / "run"
    with RunFolder(run) as folder:
        (run / "recipe.json").write_text("{}")
        folder.abandon()
    assert list(tmp_path.iterdir()) == []

    run.mkdir(parents=True)
    with RunFolder(run) as folder:
        (run / "tensorboard").mkdir()
        (run / "tensorboard" / "events").write_text("")
        folder.abandon()
    assert list(run.iterdir()) == []


def test_abandoning_a_resumed_run_removes_nothing(tmp_path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        (folder.path / "recipe.json").write_text("{}")
        (folder.checkpoints / "step-00000001").mkdir()
    with RunFolder(folder.path, resume=True) as again:
        again.abandon()
    assert (folder.checkpoints / "step-00000001").is_dir()


def test_a_run_killed_before_it_began_is_in_nobodys_way(tmp_path, owner) -> None:
    """Killed with the lock file, the log and empty folders, but no recipe yet."""
    run = tmp_path / "run"
    (run / "recipe.json").unlink()
    (run / ".writing-recipe.json").write_text("{")
    owner.kill()
    owner.wait()
    with RunFolder(run):
        pass


def test_the_log_is_written_only_while_the_folder_is_owned(tmp_path) -> None:
    logger = logging.getLogger("bertmod")
    logger.warning("before")
    with RunFolder(tmp_path / "run") as folder:
        logger.warning("during")
    logger.warning("after")
    text = (folder.path / "log.txt").read_text(encoding="utf-8")
    assert text.endswith(" WARNING during\n")
    assert text.count("\n") == 1
    assert issubclass(RunFolderError, BertmodError)
