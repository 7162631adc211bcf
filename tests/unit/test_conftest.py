"""Missing reference data skips tests, except in the CI that has it."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture
def existing():
    path = Path(__file__).parents[1] / "conftest.py"
    spec = importlib.util.spec_from_file_location("conftest_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module._existing


@pytest.mark.parametrize(
    ("ci", "actions", "outcome"),
    [
        (None, None, pytest.skip.Exception),
        ("false", None, pytest.skip.Exception),
        ("true", "true", pytest.skip.Exception),
        ("true", None, pytest.fail.Exception),
    ],
)
def test_missing_reference_data(ci, actions, outcome, existing, tmp_path, monkeypatch):
    for name, value in {"CI": ci, "GITHUB_ACTIONS": actions}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    missing = tmp_path / "nowhere"
    with pytest.raises(outcome) as caught:
        existing(missing)
    expected = f"no reference data: {missing} does not exist (BERTMOD_SHARED says where it is)"
    assert caught.value.msg == expected


def test_reference_data_that_is_there(existing, tmp_path):
    assert existing(tmp_path) == tmp_path
