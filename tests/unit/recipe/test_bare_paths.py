"""A recipe that is shown to others does not tell where files lay."""

from __future__ import annotations

import json

from bertmod.recipe.bare_paths import bare_path, bare_paths
from bertmod.recipe.resolve import resolve
from bertmod.registry import load_registry

ROWS = "text,label\n" + "".join(f"a text,/m/{number % 2}\n" for number in range(8))


def test_paths_alone_are_shortened(tmp_path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    rows = str(tmp_path / "rows.csv")
    table = {"name": "table", "id": "topic", "text": "text", "label": "label"}
    values = {
        "tasks": [{**table, "train": rows, "dev": rows, "labels": ["/m/0", "/m/1"]}],
        "data": {"dir": str(tmp_path)},
        "adapters": [{"name": "pals", "bottleneck_size": 24, "num_heads": 2}],
    }
    registry = load_registry()
    recipe = resolve(values, registry)
    whole = recipe.to_json()
    found = bare_paths(whole, registry)
    assert str(tmp_path) not in json.dumps(found)
    (task,) = found["tasks"]
    assert (found["data"]["dir"], task["train"]) == (tmp_path.name, "rows.csv")
    assert task["labels"] == ["/m/0", "/m/1"]
    assert found["tokenizer"]["vocab"] == "vocab.txt"
    for key in ("adapters", "optimizer", "encoder", "training"):
        assert found[key] == whole[key]
    assert recipe.to_json() == whole


def test_names_stay() -> None:
    for name in ("sample", "hf:google-bert/bert-base-uncased@0a6aa91", "vocab.txt", "/"):
        assert bare_path(name) == name


def test_a_component_that_is_not_installed_stays_as_it_is() -> None:
    registry = load_registry()
    values = resolve({"tasks": [{"name": "rte"}]}, registry).to_json()
    values["sampler"] = {"name": "stranger/none", "file": "/a/b"}
    assert bare_paths(values, registry)["sampler"] == values["sampler"]
