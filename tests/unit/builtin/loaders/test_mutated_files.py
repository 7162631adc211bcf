"""225 damaged checkpoints: each gives a clear message or a load report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("mutated_files.py")
ROOT = Path(__file__).parents[4]
KINDS = (
    "bertmod",
    "safetensors",
    "sharded",
    "zipped",
    "legacy",
    "tar",
    "tensorflow",
    "zip",
    "bert_n_pals",
)
COPIES = 25

CHECKED = {
    "bertmod": ("encoder/model.safetensors",),
    "tensorflow": ("bert_model.ckpt.data-00000-of-00001",),
    "tar": ("bert.tar.gz",),
    "zip": ("bert.zip",),
}
"""Files whose content is protected by a sum or a hash: damage there must be found."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_told_or_reported(kind, tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), kind, str(COPIES), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "BERTMOD_PLUGINS": "",
        },
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"after {lines[-1:]}: {done.stderr[-3000:]}"
    whole, *damaged = lines
    assert whole["used"] > 0, whole
    assert len(damaged) == COPIES
    for each in damaged:
        message = each.get("message")
        if message is None:
            assert each["finite"], each
            assert each["used"] == whole["used"], each
            assert not each["file"].endswith(CHECKED.get(kind, "-")), each
        else:
            assert message.strip() == message, each
            assert message, each
            assert "Traceback" not in message, each
            assert str(tmp_path) in message or "no loader knows" in message, each
    assert any("message" in each for each in damaged)


def test_there_are_two_hundred_and_more() -> None:
    assert len(KINDS) * COPIES >= 200
