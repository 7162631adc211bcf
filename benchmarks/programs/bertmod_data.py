"""Rounds of making a task's training features; ``serving.py`` says how it is used.

Settings: ``recipe``, of one task; ``tokenizer``, a ``tokenizer.json`` of the same vocabulary;
``max_length``; ``folder``, for caches. A line of the input is ``bare``: the library tokenizers on
texts that were read before, ``made``: a start without a cache, or ``again``: a start with one.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from serving import Told, Unable, serve
from tokenizers import Tokenizer

from bertmod.assemble.components import build_tokenizer
from bertmod.assemble.data import PreparedTask, prepare_tasks
from bertmod.errors import BertmodError
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry


class Data:
    """A task's data.

    Args:
        settings: What the benchmark wrote.

    Raises:
        BertmodError: If its files cannot be used.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.registry = load_registry()
        self.recipe = resolve(settings["recipe"], self.registry)
        self.tokenizer = build_tokenizer(self.recipe)
        self.cache = Path(settings["folder"])
        os.environ["XDG_CACHE_HOME"] = str(self.cache)  # where bertmod keeps its caches
        self.bare = Tokenizer.from_file(settings["tokenizer"])
        self.bare.enable_truncation(settings["max_length"])
        self.bare.no_padding()
        self.texts = [
            tuple(each["texts"]) if len(each["texts"]) > 1 else each["texts"][0]
            for each in self.prepared().task.read("train")
        ]

    def prepared(self) -> PreparedTask:
        """The task, bound to its files."""
        (prepared,) = prepare_tasks(self.recipe, self.registry, self.tokenizer).values()
        return prepared

    def round(self, way: str) -> Told:
        """Make the features in one of the ways."""
        if way == "made":
            shutil.rmtree(self.cache, ignore_errors=True)
        begun = time.perf_counter()
        if way == "bare":
            num = len(self.bare.encode_batch_fast(self.texts))
        else:
            num = len(self.prepared().features("train"))
        return {"seconds": time.perf_counter() - begun, "rows": num}


def start(settings: dict[str, Any]) -> tuple[Told, Any]:
    """Read the texts, which only the bare way is given."""
    try:
        return {}, Data(settings).round
    except BertmodError as error:
        raise Unable(str(error)) from error


if __name__ == "__main__":
    serve(start)
