"""The command line of the benchmarks; nothing is measured."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app

COMMANDS = [
    command.callback.__name__.replace("_", "-")
    for command in app.registered_commands
    if command.callback
]


def test_there_are_commands() -> None:
    assert {"conversion", "questions", "tags"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


@pytest.mark.parametrize("command", ["mrpc", "questions", "tags"])
def test_unknown_tools_are_refused(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--data", "x", "--tools", "abacus"])
    assert done.exit_code == 2
    assert 'no "abacus"' in done.output


@pytest.mark.parametrize("command", ["questions", "tags"])
def test_missing_data_is_told(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--data", "nowhere", "--dev", "3"])
    assert done.exit_code == 1
    assert "nowhere" in str(done.exception)
