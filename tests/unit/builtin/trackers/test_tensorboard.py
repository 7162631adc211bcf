"""TensorBoard's event files, read back with its own reader."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bertmod import TrackerContext
from bertmod.builtin.trackers import plugin


def build(folder, **options):
    config = plugin.TensorBoardConfig(**options)
    return plugin.build_tensorboard(config, TrackerContext(folder, {}))


def curves(folder):
    reader = EventAccumulator(str(folder / "tensorboard"))
    reader.Reload()
    return {
        tag: [(event.step, event.value) for event in reader.Scalars(tag)]
        for tag in reader.Tags()["scalars"]
    }


def values(task, loss):
    return {"task": task, "loss": loss, "learning_rate": {"encoder": 0.5}, "rows": 32, "ok": True}


def test_curves(tmp_path):
    tracker = build(tmp_path, every_steps=1)
    tracker.stepped(1, values("cola", 0.5))
    tracker.stepped(2, values("rte", 0.25))
    tracker.evaluated(2, {"cola/dev/matthews": 0.125})
    tracker.saved(2, tmp_path / "checkpoints")
    tracker.close()
    assert curves(tmp_path) == {
        "loss/cola": [(1, 0.5)],
        "loss/rte": [(2, 0.25)],
        "learning_rate/encoder": [(1, 0.5), (2, 0.5)],
        "step/rows": [(1, 32.0), (2, 32.0)],
        "cola/dev/matthews": [(2, 0.125)],
    }


def test_rare_tasks_are_not_passed_over(tmp_path):
    tracker = build(tmp_path, every_steps=10)
    for step in range(1, 31):
        tracker.stepped(step, values("rte" if step == 17 else "mnli", 1.0))
    tracker.close()
    found = curves(tmp_path)
    assert [step for step, _ in found["loss/mnli"]] == [1, 10, 20, 30]
    assert [step for step, _ in found["loss/rte"]] == [17]


def test_resume_hides_later_points(tmp_path):
    tracker = build(tmp_path, every_steps=1)
    for step in range(1, 6):
        tracker.stepped(step, {"task": "cola", "loss": 1.0})
    tracker.close()
    tracker = build(tmp_path, every_steps=1)
    tracker.resumed(3)
    tracker.stepped(4, {"task": "cola", "loss": 2.0})
    tracker.close()
    assert curves(tmp_path)["loss/cola"] == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0)]


def test_scores_are_on_disk_after_an_evaluation(tmp_path):
    tracker = build(tmp_path)
    tracker.evaluated(7, {"rte/dev/accuracy": 0.5})
    assert curves(tmp_path) == {"rte/dev/accuracy": [(7, 0.5)]}
    tracker.close()


@pytest.mark.parametrize("step", [0, 5])
def test_nothing_to_write_leaves_no_folder(step, tmp_path):
    tracker = build(tmp_path)
    tracker.resumed(step)
    tracker.saved(step, tmp_path)
    tracker.close()
    assert list(tmp_path.iterdir()) == []
