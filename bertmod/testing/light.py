"""The light half of a distribution's components, run in an interpreter of its own.

Only a fresh interpreter can tell whether plugins and the light functions of their specs load
torch. One of them serves all components of a distribution.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertmod.plugins import SWITCH
from bertmod.registry import KINDS, load_registry
from bertmod.specs import Spec
from bertmod.testing.subject import Options, host_shape, subjects

# The program is called as a user calls it; this module lies below it and does not import it.
PROGRAM = """
import json, sys
from bertmod.testing.light import examine
from bertmod.cli import main
print(json.dumps(examine(json.load(sys.stdin), main)))
"""

HEAVY = "torch"


@dataclass
class LightRun:
    """What one fresh interpreter found of a distribution; it is started once, when asked.

    Attributes:
        distribution: The distribution.
        entry_points: Names of its plugins.
        examples: ``kind-name`` to the options that the author gave.
        checkpoints: Loader to what gives its checkpoint.
    """

    distribution: str
    entry_points: Sequence[str]
    examples: dict[str, Sequence[Options]] = field(default_factory=dict)
    checkpoints: dict[str, Callable[[], Path]] = field(default_factory=dict)
    _found: Mapping[str, Mapping[str, str]] | str | None = None

    def found(self, spec: Spec) -> Mapping[str, str]:
        """What was found of a component: ``light`` (empty: nothing wrong) and ``show``.

        Raises:
            AssertionError: If the interpreter itself failed.
        """
        if self._found is None:
            self._found = self._run()
        if isinstance(self._found, str):
            raise AssertionError(self._found)
        return self._found.get(
            f"{spec.kind}-{spec.name}",
            {"light": "it is not there in a fresh interpreter", "show": ""},
        )

    def _run(self) -> Mapping[str, Mapping[str, str]] | str:
        asked = {
            "distribution": self.distribution,
            "examples": {name: list(options) for name, options in self.examples.items()},
            "checkpoints": {name: str(path()) for name, path in self.checkpoints.items()},
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                SWITCH: ",".join(self.entry_points),
                "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            },
        )
        if done.returncode:
            return f"a fresh interpreter failed:\n{done.stderr}"
        found: dict[str, dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
        return found


def examine(
    asked: Mapping[str, Any], program: Callable[[Sequence[str]], int]
) -> dict[str, dict[str, str]]:
    """What a fresh interpreter finds of a distribution's components.

    Args:
        asked: ``distribution``, and ``examples`` and ``checkpoints`` by component.
        program: The program, from its arguments to an exit status.

    Returns:
        ``kind-name`` to ``light``, what is wrong or nothing; and ``show``, what the program prints.
    """
    registry = load_registry()
    early = HEAVY in sys.modules
    found = {}
    for kind in KINDS:
        for entry in registry.entries(kind):
            if entry.provider != asked["distribution"]:
                continue
            name = f"{kind}-{entry.spec.name}"
            wrong = f"importing the plugin imports {HEAVY}" if early else ""
            wrong = wrong or _wrong(entry.spec, asked["examples"].get(name, ()), asked)
            text = _printed(program, ["show", kind, entry.full_name])
            found[name] = {"light": wrong, "show": text}
    return found


def _wrong(spec: Spec, examples: Sequence[Options], asked: Mapping[str, Any]) -> str:
    """What is wrong with the light half of one component; nothing of it stops the others."""
    try:
        return _heavy_function(spec, examples, asked)
    except AssertionError as error:
        return str(error)
    except Exception as error:
        return f"one of its light functions raises {type(error).__name__}: {error}"


def _heavy_function(spec: Any, examples: Sequence[Options], asked: Mapping[str, Any]) -> str:
    """Which light function of a spec is the first to import torch; empty if none does."""
    if HEAVY in sys.modules:
        return ""  # an earlier component's doing, which is told there
    for subject in subjects(spec, examples):
        for name, call in _light_calls(spec, subject.config, asked):
            call()
            if HEAVY in sys.modules:
                return f"its function {name} imports {HEAVY}"
    return f"making its options imports {HEAVY}" if HEAVY in sys.modules else ""


def _light_calls(
    spec: Any, config: Any, asked: Mapping[str, Any]
) -> list[tuple[str, Callable[[], Any]]]:
    """Every light function of a spec but ``check``, which choosing the options has called."""
    shape = host_shape()
    layers = tuple(range(shape.num_hidden_layers))
    arguments: dict[str, dict[str, tuple[Any, ...]]] = {
        "encoder": dict.fromkeys(("shape", "names", "initializer_range"), (config,)),
        "tokenizer": dict.fromkeys(("vocab_size", "files"), (config,)),
        "adapter": dict.fromkeys(("sites", "num_parameters", "names"), (config, shape, layers)),
        "head": {
            **dict.fromkeys(("want", "targets"), (config,)),
            "num_parameters": (config, shape, 3),
            "names": (config, shape),
        },
        "task": dict.fromkeys(("splits", "head", "metrics", "targets", "num_labels"), (config,)),
        "loader": {"can_load": (os.devnull,)},
    }
    chosen = dict(arguments.get(spec.kind, {}))
    path = asked["checkpoints"].get(spec.name)
    if spec.kind == "loader" and path is not None:
        chosen |= {"can_load": (path,), "describe": (config, path, None)}
    return [
        (name, lambda name=name, given=given: getattr(spec, name)(*given))  # type: ignore[misc]
        for name, given in chosen.items()
        if getattr(spec, name) is not None
    ]


def _printed(program: Callable[[Sequence[str]], int], arguments: Sequence[str]) -> str:
    """What the program prints; empty if it fails."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = program(arguments)
    return "" if status else output.getvalue()
