"""``bertmod new-plugin`` as a user types it: what it prints, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NEXT = """\
bertmod-my-gate: an adapter called "my_gate"
  .gitignore
  README.md
  bertmod_my_gate/__init__.py
  bertmod_my_gate/modules.py
  bertmod_my_gate/plugin.py
  bertmod_my_gate/py.typed
  pyproject.toml
  recipes/my_gate.json
  tests/test_conformance.py
  tests/test_my_gate.py

next:
  cd bertmod-my-gate
  pip install -e '.[test]'
  pytest
  bertmod show adapter my_gate
  bertmod check recipes/my_gate.json
"""


@pytest.mark.parametrize("kind", ["adapter", "adapters"])
def test_it_says_what_it_made_and_what_comes_next(here, tmp_path, kind):
    assert here("new-plugin", kind, "my_gate") == (0, NEXT, "")
    made = tmp_path / "bertmod-my-gate"
    files = sorted(path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file())
    assert files == [line.strip() for line in NEXT.splitlines()[1:11]]
    assert [path.name for path in tmp_path.iterdir()] == ["bertmod-my-gate"]


def test_another_folder(here, tmp_path):
    answer = here("new-plugin", "loader", "my_arrays", "--output", "a b")
    assert answer.returncode == 0
    assert answer.stdout.startswith('a b: a loader called "my_arrays"\n')
    assert "  cd 'a b'\n" in answer.stdout
    assert "  bertmod check recipes/my_arrays.json --checkpoint FOLDER\n" in answer.stdout
    assert json.loads((tmp_path / "a b/recipes/my_arrays.json").read_text())["schema_version"] == 1


MESSAGES = {
    ("adaptor", "my_gate"): (
        'error: no kind called "adaptor", did you mean "adapter"?\n'
        "    kinds: encoder, tokenizer, adapter, head, task, sampler, optimizer, schedule, loader, "
        "metric, tracker, exporter\n"
    ),
    ("adapter", "MyGate"): (
        'error: "MyGate" is not lower_snake: small letters, digits, single _\n    write "my_gate"\n'
    ),
    ("adapter", "my-gate"): (
        'error: "my-gate" is not lower_snake: small letters, digits, single _\n'
        '    write "my_gate"\n'
    ),
    ("adapter", "2_gates"): (
        'error: "2_gates" is not lower_snake: small letters, digits, single _\n    write "gates"\n'
    ),
    ("adapter", "12"): (
        'error: "12" is not lower_snake: small letters, digits, single _\n'
        '    begin with a letter, such as "my_gate"\n'
    ),
    ("adapter", "bertmod_gate"): (
        'error: "bertmod_gate" repeats the project\'s name: the distribution would be called '
        'bertmod-bertmod-gate\n    write "gate"\n'
    ),
    ("adapter", "a_gate_of_twenty_five_char"): (
        'error: "a_gate_of_twenty_five_char" is too long: 26 characters, 24 at most\n'
        "    choose a shorter name\n"
    ),
    ("schedule", "lambda"): (
        'error: "lambda" means something else in Python\n'
        '    choose another name, such as "my_lambda"\n'
    ),
    ("loader", "auto"): (
        'error: "auto" means something else in recipes\n'
        '    choose another name, such as "my_auto"\n'
    ),
    ("head", "head"): (
        'error: "head": its class would be called Head, and that is another\'s name\n'
        '    choose another name, such as "my_head"\n'
    ),
    ("adapter", "none"): (
        'error: "none": its class would be called None, and that is another\'s name\n'
        '    choose another name, such as "my_none"\n'
    ),
    ("adapter", "pals"): (
        'error: an adapter called "pals" is installed already: bertmod/pals VERSION\n'
        "    choose another name; bertmod list adapter shows those that are taken\n"
    ),
}


@pytest.mark.parametrize("words", MESSAGES, ids=" ".join)
def test_names_that_cannot_be(here, tmp_path, words):
    from bertmod import __version__

    said = MESSAGES[words].replace("VERSION", __version__)
    assert here("new-plugin", *words) == (2, "", said)
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_installed(here, tmp_path, monkeypatch):
    (tmp_path / "bertmod_my_gate").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert here("new-plugin", "adapter", "my_gate") == (
        2,
        "",
        "error: a Python package called bertmod_my_gate is installed already\n"
        "    choose another name, or uninstall it\n",
    )


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch], ids=["folder", "file"])
def test_nothing_is_overwritten(here, tmp_path, make):
    make(tmp_path / "bertmod-my-gate")
    assert here("new-plugin", "adapter", "my_gate") == (
        2,
        "",
        "error: bertmod-my-gate exists already, and is left as it is\n"
        "    give another folder: --output DIR\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["bertmod-my-gate"]


def test_a_folder_that_cannot_be_made(here, tmp_path):
    (tmp_path / "taken").touch()
    for target in ("none/such/new", "taken/x"):
        assert here("new-plugin", "adapter", "my_gate", "--output", target) == (
            2,
            "",
            f"error: {target}: there is no folder {Path(target).parent}\n    make it first\n",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_name_is_asked_for(here):
    answer = here("new-plugin", "adapter")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("error: Missing argument 'NAME'.")
