"""metrics.jsonl: what is written, and what is left after a kill and a resume."""

import json
import math

import numpy as np
import pytest
import torch

from bertmod import TrackerContext
from bertmod.builtin.trackers import plugin

SPECS = {spec.name: spec for spec in plugin.bertmod_trackers()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def build(folder, **options):
    return plugin.build_jsonl(plugin.JsonlConfig(**options), TrackerContext(folder, {}))


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_names():
    assert list(SPECS) == ["jsonl", "tensorboard"]


def test_rows(tmp_path, path):
    tracker = build(tmp_path)
    rates = {"encoder": 2e-5, "heads": 1e-4}
    tracker.stepped(1, {"task": "cola", "loss": 0.1 + 0.2, "learning_rate": rates, "rows": 32})
    tracker.evaluated(1, {"cola/dev/matthews": 0.25})
    tracker.saved(1, tmp_path / "checkpoints" / "step-00000001")
    assert rows(path) == [
        {"event": "step", "step": 1, "task": "cola", "loss": 0.30000000000000004}
        | {"learning_rate": rates, "rows": 32},
        {"event": "evaluation", "step": 1, "scores": {"cola/dev/matthews": 0.25}},
        {"event": "checkpoint", "step": 1, "path": "checkpoints/step-00000001"},
    ]
    tracker.close()


def test_a_checkpoint_elsewhere_keeps_its_whole_path(tmp_path, path):
    (tmp_path / "run").mkdir()
    tracker = build(tmp_path / "run")
    tracker.saved(1, tmp_path / "elsewhere")
    tracker.close()
    [row] = rows(tmp_path / "run" / "metrics.jsonl")
    assert row["path"] == (tmp_path / "elsewhere").as_posix()


def test_numbers_that_json_has_no_words_for(tmp_path, path):
    tracker = build(tmp_path)
    values = {"loss": math.nan, "rates": {"encoder": -math.inf}, "norms": [1.0, math.inf]}
    tracker.stepped(3, values)
    tracker.close()
    assert rows(path) == [
        {"event": "step", "step": 3, "loss": None, "rates": {"encoder": None}, "norms": [1.0, None]}
        | {"not_finite": {"loss": "nan", "rates.encoder": "-inf", "norms[1]": "inf"}}
    ]


def test_numbers_of_numpy_and_torch(tmp_path, path):
    tracker = build(tmp_path)
    values = {"a": np.float32(0.5), "b": np.int64(3), "c": torch.tensor(0.25), "step": 99}
    tracker.stepped(1, values)
    tracker.close()
    assert rows(path) == [{"event": "step", "step": 1, "a": 0.5, "b": 3, "c": 0.25}]


def test_every_few_steps(tmp_path, path):
    tracker = build(tmp_path, every_steps=3)
    for step in range(1, 8):
        tracker.stepped(step, {"loss": 1.0})
    tracker.evaluated(7, {})
    tracker.close()
    assert [row["step"] for row in rows(path)] == [3, 6, 7]


def write_five_steps(folder):
    tracker = build(folder)
    for step in range(1, 6):
        tracker.stepped(step, {"loss": step / 3})
        if step == 3:
            tracker.evaluated(3, {"cola/dev/accuracy": 0.5})
            tracker.saved(3, folder / "checkpoints" / "step-00000003")
    return tracker


def test_resume_drops_later_rows_and_goes_on(tmp_path, path):
    write_five_steps(tmp_path).close()
    before = path.read_bytes().splitlines()
    tracker = build(tmp_path)
    tracker.resumed(3)
    assert path.read_bytes().splitlines() == before[:5]
    tracker.stepped(4, {"loss": 4 / 3})
    tracker.close()
    assert path.read_bytes().splitlines() == before[:6]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_resume_of_an_open_tracker(tmp_path, path):
    tracker = write_five_steps(tmp_path)
    tracker.resumed(2)
    tracker.stepped(3, {"loss": 1.0})
    assert [row["step"] for row in rows(path)] == [1, 2, 3]
    tracker.close()


def test_resume_of_a_run_without_rows(tmp_path, path):
    tracker = build(tmp_path)
    tracker.resumed(3)
    tracker.close()
    assert not path.exists()


def test_every_place_where_a_kill_can_cut_the_last_line(tmp_path, path):
    write_five_steps(tmp_path).close()
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    start = len(whole) - len(lines[-1])
    for end in range(start, len(whole) + 1):
        path.write_bytes(whole[:end])
        build(tmp_path).resumed(5)
        complete = end >= len(whole) - 1
        assert path.read_bytes() == (whole if complete else whole[:start])


def test_lines_that_are_no_rows(tmp_path, path):
    good = b'{"event": "step", "step": 1}\n'
    path.write_bytes(good + b'\n[1]\n{"loss": 2}\n"\xff"\n{"step": "1"}\n')
    build(tmp_path).resumed(5)
    assert path.read_bytes() == good


def test_each_row_is_on_disk_at_once(tmp_path, path):
    tracker = build(tmp_path)
    for step in (1, 2):
        tracker.stepped(step, {})
        assert len(rows(path)) == step
    tracker.close()
