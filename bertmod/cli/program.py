"""Finding the command, calling it, and turning errors into exit statuses."""

from __future__ import annotations

import os
import sys
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

import bertmod
from bertmod.cli.invocation import begin
from bertmod.errors import BertmodError, RecipeError
from bertmod.recipe.processes import is_launched, is_main_process
from bertmod.registry import Entry, Registry
from bertmod.specs import CommandSpec

INTERRUPTED = 130
"""Exit status after Ctrl-C."""

DEBUG, STRICT = "--debug", "--strict-plugins"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        arguments: What follows the program's name; None: those of this process.

    Returns:
        Exit status: 0 done, 2 the user's input, 1 a failed run or a bug, 130 interrupted.
    """
    os.environ |= brief_spinning(os.environ)
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug, words = _without(words, DEBUG)
    strict, words = _without(words, STRICT)
    try:
        status = _run(words, debug=debug, strict=strict)
        sys.stdout.flush()
    except BrokenPipeError:
        return _quiet()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as end:  # raised by typer when the reader of a pipe has gone
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        return _told(error, debug)
    return status


def brief_spinning(environ: Mapping[str, str]) -> dict[str, str]:
    """What to set so that threads that wait for others spin for a moment only.

    Threads that sleep at once make steps slower; beside other programs, those that spin for as
    long as by themselves cost several times the work. libgomp and LLVM's library read it when
    torch is loaded.

    Args:
        environ: Where the user may have chosen; what is set there is left alone.
    """
    if "OMP_WAIT_POLICY" in environ:
        return {}
    brief = {"GOMP_SPINCOUNT": "3000", "KMP_BLOCKTIME": "1"}  # the second in milliseconds
    return {name: value for name, value in brief.items() if name not in environ}


def _without(words: list[str], flag: str) -> tuple[bool, list[str]]:
    """Whether a flag is among the words before ``--``, and the words without it."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != flag]
    return len(kept) < end, [*kept, *words[end:]]


def _run(words: list[str], *, debug: bool, strict: bool) -> int:
    if words[:1] == ["--version"]:
        print(f"bertmod {bertmod.__version__}")
        return 0
    registry = begin(debug=debug, strict_plugins=strict).registry
    failures = registry.failures if is_main_process() and not is_launched() else ()
    for plugin in failures:
        print(f"warning: {plugin.failure}", file=sys.stderr)
    if words and not words[0].startswith("-"):
        command = _built([(words[0], registry.command(words[0]))])
    else:
        command = _offered(registry)
    answer = command.main(words or ["--help"], prog_name="bertmod", standalone_mode=False)
    if answer == INTERRUPTED:  # some versions of typer catch Ctrl-C, and say nothing
        raise KeyboardInterrupt
    return answer if isinstance(answer, int) else 0


def _offered(registry: Registry) -> Any:
    """Every command under the name that calls it, without those that typer cannot take."""
    entries = registry.commands()
    times = Counter(entry.spec.name for entry in entries)
    named = [
        (entry.spec.name if times[entry.spec.name] == 1 else entry.full_name, entry)
        for entry in entries
    ]
    try:
        return _built(named)
    except Exception:  # of a third party's command, which is looked for
        return _built([(name, entry) for name, entry in named if _is_sound(name, entry)])


def _is_sound(name: str, entry: Entry[CommandSpec]) -> bool:
    """Whether typer can take a command; warns of one that it cannot."""
    try:
        _built([(name, entry)])
    except Exception as error:
        owner = f"{entry.provider} {entry.version}"
        print(f'warning: command "{name}" of {owner} is broken: {error}', file=sys.stderr)
        return False
    return True


def _built(commands: Sequence[tuple[str, Entry[CommandSpec]]]) -> Any:
    """The program with some commands, ready to be called."""
    return typer.main.get_command(build_app(commands))


def build_app(commands: Sequence[tuple[str, Entry[CommandSpec]]]) -> typer.Typer:
    """The program with some commands, each under the name that calls it."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback()(_top)
    for name, entry in commands:
        app.command(name, help=entry.spec.summary)(entry.spec.function)
    return app


def _top(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show a traceback with every error; anywhere.")
    ] = False,
    strict_plugins: Annotated[
        bool, typer.Option(STRICT, help="A plugin that does not load is an error; anywhere.")
    ] = False,
) -> None:
    """BERT multi-task learning with small per-task adapters on one shared encoder."""
    del version, debug, strict_plugins  # read before typer sees the words


def _told(error: Exception, debug: bool) -> int:
    """Print an error as its kind asks, and give its exit status."""
    if isinstance(error, BertmodError):
        if debug:
            traceback.print_exception(error)
        print(error if isinstance(error, RecipeError) else f"error: {error}", file=sys.stderr)
        return error.exit_status
    if isinstance(error, typer.Abort):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    usage: Any = error  # typer's own errors: which class depends on its version
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        if debug:
            traceback.print_exception(error)
        said = usage.format_message().replace(": Value error, ", ": ")  # some versions of typer
        print(f"error: {said}", file=sys.stderr)
        context = getattr(error, "ctx", None)
        if context is not None:
            print(f"try: {context.command_path} --help", file=sys.stderr)
        return int(usage.exit_code)
    traceback.print_exception(error)
    return 1


def _quiet() -> int:
    """End without a word: nobody reads standard output any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
