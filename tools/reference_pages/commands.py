"""The page on the program's commands, from the program itself."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import typer

from bertmod.cli.program import build_app
from bertmod.registry import Registry
from reference_pages.markdown import code, escaped, page, table

INTRO = """
`bertmod --help` and `bertmod COMMAND --help` print the same. Help needs no PyTorch and answers at
once. `python -m bertmod` is the same program. Exit status: 0 done, 1 a failed run, 2 something in
what you gave, 130 interrupted; see [errors](errors.md).
"""


# typer puts braces around required arguments, and brackets around those that have some already.
_BRACKETS = re.compile(r"^\{(.*)\}$|^\[(?=\[)(.*)(?<=\])\]$")


def cli_page(registry: Registry) -> str:
    """Every command that bertmod itself provides, with its arguments and options."""
    entries = [entry for entry in registry.commands() if entry.provider == "bertmod"]
    program = typer.main.get_command(build_app([(entry.spec.name, entry) for entry in entries]))
    parts = [
        INTRO,
        _commands_table(program),
        "Options of the program; `--debug` and `--strict-plugins` may stand behind a command:",
    ]
    parts += _tables(program)
    for name, command in commands_of(program):
        parts += [f"## {code(name)}", _help(command), f"```text\n{_usage(name, command)}\n```"]
        parts += _tables(command)
    return page("Command line", *parts)


def commands_of(program: Any) -> Iterator[tuple[str, Any]]:
    """Name and command of everything in a command group that is not hidden."""
    context = typer.Context(program, info_name="bertmod")
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        if command is not None and not command.hidden:
            yield name, command


def _commands_table(program: Any) -> str:
    rows = [
        [f"[{code(name)}](#{name})", escaped(command.get_short_help_str(limit=200))]
        for name, command in commands_of(program)
    ]
    return table(["command", "does"], rows)


def _help(command: Any) -> str:
    return "\n\n".join(
        escaped(" ".join(paragraph.split()))
        for paragraph in inspect.cleandoc(command.help or "").split("\n\n")
    )


def _usage(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=f"bertmod {name}")
    pieces = [_BRACKETS.sub(r"\1\2", piece) for piece in command.collect_usage_pieces(context)]
    return " ".join(["bertmod", name, *pieces])


def _tables(command: Any) -> Iterator[str]:
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    arguments = [[code(_metavar(p)), escaped(p.help or "")] for p in shown if _is_argument(p)]
    options = [
        [code(_spelling(param)), escaped(param.help or ""), _default(param)]
        for param in shown
        if not _is_argument(param)
    ]
    if arguments:
        yield table(["argument", "meaning"], arguments)
    if options:
        yield table(["option", "meaning", "default"], options)


def _is_argument(param: Any) -> bool:
    return bool(param.param_type_name == "argument")


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _spelling(param: Any) -> str:
    names = ", ".join([*param.opts, *param.secondary_opts])
    takes_value = not param.is_flag and not param.count
    return f"{names} {_metavar(param)}" if takes_value else names


def _default(param: Any) -> str:
    if param.required:
        return "required"
    empty = param.default is None or param.default in (False, (), [], "")
    return "" if empty or callable(param.default) else code(str(param.default))
