"""A run that goes on with other code, or on another machine, is told what changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FIRST = (
    "WARNING: this run goes on with something else than before:\n"
    "  bertmod: 0.0.9 before, {bertmod} now\n"
    "  git_commit: abc-dirty before, {git_commit} now\n"
    "  plugins.bertmod-for-tests: 0.0.1 before, 0.1.0 now\n"
    "  plugins.bertmod-gone: 1.0 before, none now\n"
    "  libraries.torch: 2.5.0 before, {torch} now\n"
    "  python: 3.9.1 before, {python} now\n"
    "  processor: An old one before, {processor} now\n"
    "  it may end with other last bits than without the change\n"
)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, program, write_recipe) -> tuple[Path, Path]:
    """A recipe, and a run of it that stopped after three steps."""
    folder = tmp_path_factory.mktemp("stopped")
    recipe, run = write_recipe(folder, training={"num_epochs": 1}), folder / "run"
    ended = program("run", recipe, "--output", run, "--quiet", term_at_step=3)
    assert ended.status == 130, ended.err
    return recipe, run


def rewrite(run: Path, **changes) -> dict:
    """Change what a run was made with; gives what it was before and what it is now."""
    path = run / "lock.json"
    lock = json.loads(path.read_text())
    path.write_text(json.dumps({**lock, **changes}))
    return lock


def test_what_changed_is_told_and_kept(program, stopped) -> None:
    recipe, run = stopped
    words = ["run", recipe, "--output", run, "--quiet", "--resume"]
    now = json.loads((run / "lock.json").read_text())
    assert "resumed_from" not in now
    old = {
        "bertmod": "0.0.9",
        "git_commit": "abc-dirty",
        "plugins": {**now["plugins"], "bertmod-for-tests": "0.0.1", "bertmod-gone": "1.0"},
        "libraries": {**now["libraries"], "torch": "2.5.0"},
        "python": "3.9.1",
        "processor": "An old one",
    }
    rewrite(run, **old)
    again = program(*words, term_at_step=5)
    assert again.status == 130
    said = FIRST.format(**now, torch=now["libraries"]["torch"])
    assert again.err.startswith(said)
    log = (run / "log.txt").read_text()
    assert said.removeprefix("WARNING: ") in log
    assert json.loads((run / "lock.json").read_text()) == {**now, "resumed_from": [{**now, **old}]}

    unlike = {"platform": "Linux-of-old"}  # not told, since no number hangs on it
    rewrite(run, **unlike)
    once_more = program(*words)
    assert (once_more.status, once_more.err) == (0, "")
    history = [{**now, **old}, {**now, **unlike}]
    assert json.loads((run / "lock.json").read_text()) == {**now, "resumed_from": history}

    assert program(*words).err == ""
    assert json.loads((run / "lock.json").read_text()) == {**now, "resumed_from": history}


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"data": 1}'])
def test_a_record_that_cannot_be_read_is_written_anew(program, stopped, content) -> None:
    recipe, run = stopped
    (run / "lock.json").write_text(content)
    ended = program("run", recipe, "--output", run, "--quiet", "--resume")
    assert (ended.status, ended.err) == (0, "")
    assert "resumed_from" not in json.loads((run / "lock.json").read_text())


def test_an_older_record_knows_less(program, stopped) -> None:
    recipe, run = stopped
    path = run / "lock.json"
    program("run", recipe, "--output", run, "--quiet", "--resume")
    now = json.loads(path.read_text())
    older = {key: value for key, value in now.items() if key not in ("processor", "processes")}
    path.write_text(json.dumps(older))
    ended = program("run", recipe, "--output", run, "--quiet", "--resume")
    assert (ended.status, ended.err) == (0, "")
    assert json.loads(path.read_text())["resumed_from"][-1] == {
        key: value for key, value in older.items() if key != "resumed_from"
    }
