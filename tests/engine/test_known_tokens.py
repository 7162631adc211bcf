"""Features that an encoder does not know are refused before anything is trained or computed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bertmod.data.known_tokens import require_known_tokens
from bertmod.errors import DataError

LINE = (
    "error: a line (A ||| B is a pair): pairs of texts, of 2 token types, but the encoder's "
    "type_vocab_size is 1\n  take single texts, or an encoder that was trained on pairs\n"
)


@pytest.fixture(scope="module")
def single(tmp_path_factory, program, write_recipe) -> Path:
    """A run of an encoder that knows single texts alone."""
    folder = tmp_path_factory.mktemp("single")
    recipe = write_recipe(
        folder,
        tasks=[{"name": "sst2"}],
        encoder={"type_vocab_size": 1},
        training={"num_epochs": 1, "steps_per_epoch": 2},
        evaluation={"every_steps": None},
        saving={"every_steps": None},
    )
    ended = program("run", recipe, "--output", folder / "run", "--quiet")
    assert ended.status == 0, ended.err
    return folder / "run"


def test_a_checkpoint_of_single_texts(program, single, write_recipe, tmp_path) -> None:
    """Its configuration says so, though the recipe does not."""
    recipe = write_recipe(tmp_path, tasks=[{"name": "rte"}])
    values = json.loads(recipe.read_text())
    values |= {"checkpoint": {"name": "auto", "path": str(single)}, "encoder": {"name": "bert"}}
    recipe.write_text(json.dumps(values))
    ended = program("run", recipe, "--output", tmp_path / "run", "--quiet")
    assert ended.status == 2
    assert ended.err == (
        f"{recipe}: 1 problem\n"
        "  tasks[0]\n"
        '      task "rte" has pairs of texts, of 2 token types, but encoder "bert" has '
        "type_vocab_size 1\n"
        "      take a task of single texts, or an encoder that was trained on pairs\n"
    )
    assert not (tmp_path / "run").exists()


def test_a_stranger_s_pairs(program, write_recipe, tmp_path) -> None:
    """Its spec does not say that it has pairs, so its features tell."""
    recipe = write_recipe(tmp_path, tasks=[{"name": "leaky"}], encoder={"type_vocab_size": 1})
    ended = program("run", recipe, "--output", tmp_path / "run", "--quiet")
    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        "error: task leaky: pairs of texts, of 2 token types, but the encoder's type_vocab_size "
        "is 1\n  take single texts, or an encoder that was trained on pairs\n"
    )
    assert not (tmp_path / "run").exists()


def test_features_of_pairs(program, single, tmp_path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("one text\nA text ||| and another\n")
    out = tmp_path / "out.jsonl"
    refused = program("features", single, lines, out, "--layers", "-1", "--device", "cpu")
    assert refused.status == 2
    assert refused.err.endswith(LINE)
    lines.write_text("one text\nanother\n")
    taken = program("features", single, lines, out, "--layers", "-1", "--device", "cpu")
    assert taken.status == 0, taken.err


def test_an_id_beyond_the_vocabulary(toy) -> None:
    """A stranger's tokenizer may give more ids than it says."""
    shape, table = toy.model().encoder.shape, toy.features("flag", 10)
    require_known_tokens(table, shape, owner="task flag")
    require_known_tokens(table, replace(shape, vocab_size=None), owner="task flag")
    ids = np.full_like(table.tokens["input_ids"], 40)
    beyond = replace(table, tokens={**table.tokens, "input_ids": ids})
    with pytest.raises(DataError) as caught:
        require_known_tokens(beyond, shape, owner="task flag")
    assert str(caught.value) == (
        "task flag: a token has the id 40, but the encoder has 40 word embeddings\n"
        "  use the vocabulary that belongs to the encoder"
    )
    require_known_tokens(beyond, replace(shape, vocab_size=None), owner="task flag")
    require_known_tokens(table.take(np.empty(0, np.int64)), shape, owner="task flag")
