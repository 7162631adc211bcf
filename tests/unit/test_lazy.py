"""Packages whose modules are imported at the first use of one of their names."""

from __future__ import annotations

import subprocess
import sys

import pytest

import bertmod.convert
import bertmod.inference


@pytest.mark.parametrize("package", [bertmod.inference, bertmod.convert])
def test_every_name_is_there_and_no_other(package) -> None:
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    told = f"module '{package.__name__}' has no attribute 'nothing'"
    with pytest.raises(AttributeError, match=told):
        _ = package.nothing


def test_torch_waits_until_it_is_needed() -> None:
    code = "import sys, bertmod.inference, bertmod.convert; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
