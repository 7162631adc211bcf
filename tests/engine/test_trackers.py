"""Trackers hear everything once, and none of them can stop a run."""

from __future__ import annotations

import logging

import pytest

from bertmod.engine.run_folder import RunFolder


class Listener:
    """Writes down what it hears; raises at one kind of event."""

    def __init__(self, fails_at: str = "") -> None:
        self.heard: list[tuple] = []
        self.fails_at = fails_at

    def _hear(self, *event) -> None:
        self.heard.append(event)
        if event[0] == self.fails_at:
            raise RuntimeError("the server is gone")

    def resumed(self, step):
        self._hear("resumed", step)

    def stepped(self, step, values):
        self._hear("stepped", step, values)

    def evaluated(self, step, scores):
        self._hear("evaluated", step, scores)

    def saved(self, step, path):
        self._hear("saved", step, path)

    def close(self):
        self._hear("close")


SETTINGS = {"num_epochs": 2, "steps_per_epoch": 3, "evaluate_every": 3, "save_every": 2}


def test_what_a_tracker_hears(toy, tmp_path) -> None:
    listener = Listener()
    with RunFolder(tmp_path / "run") as folder:
        toy.trainer(folder=folder, trackers=[listener], **SETTINGS).fit()
    assert [event[:2] for event in listener.heard] == [
        ("stepped", 1),
        ("stepped", 2),
        ("saved", 2),
        ("stepped", 3),
        ("evaluated", 3),
        ("stepped", 4),
        ("saved", 4),
        ("stepped", 5),
        ("stepped", 6),
        ("evaluated", 6),
        ("saved", 6),
        ("close",),
    ]
    step = listener.heard[0][2]
    assert step.keys() == {
        "task",
        "loss",
        "losses",
        "grad_norm",
        "learning_rate",
        "features",
        "tokens",
    }
    assert listener.heard[4][2].keys() == {"flag/dev/score", "size/dev/score"}
    assert listener.heard[2][2] == folder.checkpoints / "step-00000002"


@pytest.mark.parametrize("event", ["stepped", "evaluated", "saved", "close"])
def test_a_tracker_that_raises_is_dropped_with_one_warning(toy, tmp_path, caplog, event) -> None:
    bad, good = Listener(event), Listener()
    with RunFolder(tmp_path / "run") as folder, caplog.at_level(logging.WARNING, "bertmod"):
        results = toy.trainer(folder=folder, trackers=[bad, good], **SETTINGS).fit()
    assert len(results) == 2
    assert [record.getMessage() for record in caplog.records] == [
        "tracker Listener failed and is dropped: RuntimeError('the server is gone')"
    ]
    assert bad.heard[-1][0] == event
    assert [entry[0] for entry in bad.heard].count(event) == 1
    assert good.heard[-1] == ("close",)


def test_trackers_hear_where_a_run_goes_on(toy, tmp_path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        toy.trainer(folder=folder, **SETTINGS).fit()
        listener = Listener()
        toy.trainer(folder=folder, trackers=[listener], **{**SETTINGS, "num_epochs": 3}).fit(
            resume=True
        )
        assert [event[:2] for event in listener.heard][:2] == [("resumed", 6), ("stepped", 7)]


def test_a_run_without_checkpoint_begins_again(toy, tmp_path, caplog) -> None:
    listener = Listener()
    with RunFolder(tmp_path / "run") as folder:
        toy.trainer(folder=folder, trackers=[listener], **SETTINGS).fit(resume=True)
    assert [event[:2] for event in listener.heard][:2] == [("resumed", 0), ("stepped", 1)]
    assert "no checkpoint to resume from: starting at step 0" in caplog.text
