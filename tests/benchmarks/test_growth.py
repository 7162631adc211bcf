"""The benchmark of growth on an encoder smaller than any that is measured, and its page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.mixed import EVERY, RANDOM, Measured, reason
from benchmarks.speed import growth, growth_page
from benchmarks.speed.contest import Setting
from benchmarks.speed.measure import Asked, measure
from benchmarks.speed.pairs import Pair, joined


@pytest.fixture
def data(tmp_path: Path, pairs: list[Pair]) -> Path:
    """MRPC of a few words."""
    (tmp_path / "MRPC").mkdir()
    rows = [f"{each.label}\t1\t2\t{each.first}\t{each.second}\n" for each in 4 * pairs]
    text = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n" + "".join(rows)
    for split in ("train", "dev"):
        (tmp_path / "MRPC" / f"{split}.tsv").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(data: Path, weights: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Measures some points with so many processes at a time; their first rounds, and the page."""
    for name, value in {"LENGTHS": (8, 16), "TOKENS": 64, "TASKS": (1, 3)}.items():
        monkeypatch.setattr(growth, name, value)

    def points(*chosen: str, most: int) -> tuple[dict[str, Any], str]:
        monkeypatch.setitem(growth.MOST, "tiny", most)
        setting = Setting(data / "work", 1, 1, {}, chosen=frozenset(chosen), say=lambda _: None)
        output = data / "growth.json"
        shown = measure(Asked("growth", "tiny", data, weights), setting, output)
        groups = json.loads(output.read_text(encoding="utf-8"))["groups"]
        return {name: runs[0] for each in groups for name, runs in each["measured"].items()}, shown

    return points


def test_points_take_turns(run: Callable[..., Any]) -> None:
    measured, shown = run("tasks 1", "tasks 3", "predict 4 of 16", "Houlsby 8 frozen", most=9)
    assert measured["predict 4 of 16"]["tokens"] == 64
    tasks, head = {num: measured[f"tasks {num}"] for num in (1, 3)}, 2 * 24 + 2
    assert tasks[3]["added"] == 3 * tasks[1]["added"] > 0
    assert tasks[3]["parameters"] - tasks[1]["parameters"] == 2 * (tasks[1]["added"] + head)
    assert tasks[3]["rows"] == tasks[1]["rows"]
    frozen = measured["Houlsby 8 frozen"]
    assert frozen["trained"] == frozen["added"] + head
    assert all(each["peak_bytes"] > 2**20 for each in (*tasks.values(), frozen))
    assert "With 2 more tasks a step took" in shown


def test_processes_are_made_anew_where_memory_is_short(run: Callable[..., Any]) -> None:
    measured, _ = run("batch 1", "batch 2", most=1)
    assert measured["batch 1"]["rows"] == measured["batch 2"]["rows"] == growth.BATCH_SIZE


def test_rows_are_joined_to_a_length(pairs: list[Pair]) -> None:
    found = joined(pairs, 5, num_tokens=30)
    assert len(found) == 5
    for each in found:
        assert len(f"{each.first} {each.second}".split()) >= 30
    assert found[0].first.startswith(pairs[0].first)
    assert found[1].first != found[0].first


def curve(kind: str, sizes: tuple[int, int], *, tokens: tuple[int, int]) -> dict[str, Any]:
    """Two points, the second of which has three times the products and twice the time."""
    points = [
        {"size": size, "name": f"at {size}", "steps": 2, "rows": 4, "tokens": 2 * num}
        for size, num in zip(sizes, tokens, strict=True)
    ]
    shares = {"attention": 0.25}
    return {
        "heading": "size",
        "kind": kind,
        "way": "train",
        "detail": "it is so. ",
        "points": [{**each, **shares} for each in points],
    }


def group(sizes: tuple[int, int]) -> dict[str, Any]:
    facts = {"peak_bytes": 2**20, "starting_seconds": 1.0, "trained": 10}
    first, second = (f"at {size}" for size in sizes)
    return {
        "title": "All",
        "contenders": [
            {"name": first, "precision": "bf16", "operations": 2e9},
            {"name": second, "precision": "bf16", "operations": 6e9},
        ],
        "missing": {},
        "measured": {
            first: [{**facts, "seconds": 4.0, "parameters": 100, "added": 7}],
            second: [
                {**facts, "seconds": 8.0, "parameters": 130, "added": 21, "peak_bytes": 2**22}
            ],
        },
        "rates": {"bf16": [1e9]},
        "workers": {},
    }


@pytest.mark.parametrize(
    ("kind", "sizes", "line", "why"),
    [
        (
            growth.BATCH,
            (1, 2),
            "| 2 | 4000.0 | 2.00 | 3000.0 | 3.00 | 75% | 300 | 13333.3 | 4 |",
            "has 1000.0 ms for a step without tokens and 10000.0 ms for every 1,000 (products "
            "alone: 10000.0)",
        ),
        (
            growth.TRAINING,
            (16, 32),
            "| 32 | 4000.0 | 2.00 | 3000.0 | 3.00 | 75% | 2 | 25% | 4 |",
            "the last line has 3 times the tokens of the first",
        ),
        (
            growth.PREDICTION,
            (16, 32),
            "| 32 | 4000.0 | 2.00 | 3000.0 | 3.00 | 75% | 2 | 25% |",
            "grow 3.00 times, the time 2.00 times: less, because what is done once (the conversion",
        ),
        (
            growth.TASK,
            (1, 4),
            "| 4 | 4000.0 | 2.00 | 3000.0 | 3.00 | 75% | 130 | 1.00 | 4 |",
            "With 3 more tasks a step took 2.000 times as long (+2000.00 ms, +666667 us a task: "
            "passing over a parameter without a gradient). What a task does cost is its keep: 10 "
            "parameters, 1.0 MiB",
        ),
        (
            growth.ADAPTER,
            (8, 16),
            "| 16 | 4000.0 | 2.00 | 3000.0 | 3.00 | 75% | 21 | 4 |",
            "From 8 to 16 its parameters grow 3.0 times, all products of a step 3.00 times, and "
            "the time 2.00 times.",
        ),
    ],
)
def test_tables_and_reasons(kind: str, sizes: tuple[int, int], line: str, why: str) -> None:
    values = {
        "title": "Growth",
        "rounds": 1,
        "busy": False,
        "kind": "AMX",
        "machine": {},
        "versions": {},
        "facts": {},
        "notes": growth_page.NOTES,
        "command": "it",
        "groups": [group(sizes)],
        "curves": {"All": curve(kind, sizes, tokens=(100, 300))},
    }
    lines = growth_page.page(json.loads(json.dumps(values))).splitlines()
    assert line in lines
    (found,) = (each for each in lines if each.startswith("Why: it is so. "))
    assert why in found


def test_a_line_of_relative_errors() -> None:
    assert growth_page.line_through([0.0, 1.0, 2.0], [3.0, 5.0, 7.0]) == pytest.approx((3.0, 2.0))


def test_where_mixed_batches_gain() -> None:
    def load(who: str, texts: int, mixed: int, ratio: float) -> Measured:
        return Measured(who, texts, 8 * texts, (8, mixed), 1.0, 1.0, ratio, 0.0)

    found = [load(EVERY, 1, 1, 1.9), load(EVERY, 4, 2, 1.2), load(EVERY, 16, 8, 1.0)]
    told = reason([*found, load(RANDOM, 4, 1, 3.0)])
    assert f"{EVERY}: mixed batches gain up to 4 at once (8.0 times fewer forwards at 1" in told
    assert f"{RANDOM}: mixed batches gain up to 4 at once and beyond" in told
    assert "All tasks for one text: 1.90, target 1.5." in told


def test_a_step_of_a_plain_loop(load_program: Callable[[str], ModuleType]) -> None:
    program = load_program("transformers_training")

    class Model(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> Any:
            return SimpleNamespace(loss=super().forward(x).sum())

    model = Model(2, 1)
    optimizer = program.adamw(model.parameters(), weight_decay=0.5, lr=0.1)
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert decays == {id(model.weight): 0.5, id(model.bias): 0.0}
    before = model.bias.item()
    for _ in range(2):
        program.train_on(
            {"x": torch.tensor([[3.0, 4.0]])}, model, optimizer, half=False, max_grad_norm=1e9
        )
    assert model.weight.grad is not None
    assert model.weight.grad.tolist() == [[3.0, 4.0]]  # of the second step alone
    assert model.bias.item() == pytest.approx(before - 0.2, abs=1e-5)
