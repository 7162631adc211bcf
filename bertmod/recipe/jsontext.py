"""JSON text to values, refusing what JSON readers usually let pass."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any

from bertmod.errors import Problem
from bertmod.recipe.paths import Path, path_text

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}:,]|[^\s\[\]{}:,"]+')
_NOT_FINITE = {"NaN", "Infinity", "-Infinity"}


def parse_json(text: str) -> tuple[Any, list[Problem]]:
    """The value of a JSON text, and what is wrong with the text.

    Keys that are written twice in one object and numbers that are not finite are problems, with
    line and column; so is a text that is no JSON at all, for which the value is None.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        return None, [Problem(where, f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}")]
    except RecursionError:
        return None, [Problem("", "not a recipe: brackets are nested too deep")]
    except ValueError as error:  # an integer of thousands of digits
        return None, [Problem("", f"not a recipe: {str(error).split(';')[0]}")]
    return value, _Walk(text).problems()


@dataclass
class _Level:
    """An open bracket: the keys read so far, and the key or index that comes next."""

    is_object: bool
    keys: set[str]
    step: str | int = 0
    expects_key: bool = False


class _Walk:
    """One pass over the tokens of a text that is known to be JSON."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.levels: list[_Level] = []
        self.found: list[Problem] = []

    def problems(self) -> list[Problem]:
        for match in _TOKEN.finditer(self.text):
            token = match.group()
            if token in "[{":
                self.levels.append(_Level(token == "{", set(), expects_key=token == "{"))
            elif token in "]}":
                self.levels.pop()
            elif token == ",":
                self._next()
            elif token == ":":
                self.levels[-1].expects_key = False
            elif self.levels and self.levels[-1].expects_key:
                self._key(json.loads(token), match.start())
            else:
                self._value(token, match.start())
        return self.found

    def _next(self) -> None:
        level = self.levels[-1]
        if level.is_object:
            level.expects_key = True
        elif isinstance(level.step, int):
            level.step += 1

    def _key(self, key: str, at: int) -> None:
        level = self.levels[-1]
        level.step = key
        if key in level.keys:
            self._add(f"written twice, again at {self._where(at)}", "leave one of the two")
        level.keys.add(key)

    def _value(self, token: str, at: int) -> None:
        number = token[0] in "-0123456789" and token not in _NOT_FINITE
        if token in _NOT_FINITE or (number and not math.isfinite(float(token))):
            self._add(f"{token} at {self._where(at)} is not a finite number")

    def _add(self, what: str, *more: str) -> None:
        path: Path = tuple(level.step for level in self.levels)
        self.found.append(Problem(path_text(path), what, more))

    def _where(self, at: int) -> str:
        line = self.text.count("\n", 0, at) + 1
        return f"line {line}, column {at - self.text.rfind(chr(10), 0, at)}"
