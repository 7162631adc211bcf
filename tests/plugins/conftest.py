from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).parents[2]

GOOD = """
    from bertmod import EmptyConfig, SamplerSpec, hookimpl

    BERTMOD_CONTRACT = 1

    @hookimpl
    def bertmod_samplers():
        yield SamplerSpec(name="{name}", config=EmptyConfig, build=print, summary="For a test.")
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


class Site:
    """A folder of installed distributions, as pip leaves them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, code: str, *, version: str = "0.1.0") -> None:
        """Install ``bertmod-<name>`` with one module and an entry point called ``name``."""
        (self.folder / f"bertmod_{name}.py").write_text(dedent(code))
        info = self.folder / f"bertmod_{name}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: bertmod-{name}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(f"[bertmod]\n{name} = bertmod_{name}\n")

    def bertmod(
        self, *words: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the program with these distributions installed."""
        variables = {key: value for key, value in os.environ.items() if key != "BERTMOD_PLUGINS"}
        variables["PYTHONPATH"] = os.pathsep.join([str(self.folder), str(ROOT)])
        return subprocess.run(
            [sys.executable, "-m", "bertmod", *words],
            cwd=self.folder,
            env={**variables, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def good() -> Callable[[str], str]:
    """The code of a plugin with one sampler of a name."""
    return lambda name: GOOD.format(name=name)
