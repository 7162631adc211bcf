"""What a plugin author calls: a line in a test file, an option of pytest, or plain Python."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertmod import AdapterSpec, EmptyConfig
from bertmod.testing import Case, cases, checks
from bertmod.testing.light import LightRun

ROOT = Path(__file__).resolve().parents[2]

RECORD = """
    from pydantic import Field

    from bertmod import AdapterSpec, ComponentConfig, hookimpl

    BERTMOD_CONTRACT = 1


    class GateConfig(ComponentConfig):
        start: float = Field(1.0, gt=0, description="Initial gate value, unitless.")


    def build_gate(config, context):
        from bertmod_gate.modules import Gate

        return Gate(context.shape.hidden_size, context.layers, config.start)


    def sites(config, shape, layers):
        return {"layer_output": layers}


    def count(config, shape, layers):
        return len(layers) * shape.hidden_size


    @hookimpl
    def bertmod_adapters():
        yield AdapterSpec(
            name="gate",
            config=GateConfig,
            build=build_gate,
            sites=sites,
            num_parameters=count,
            summary="One learned scale per hidden unit, layer and task.",
        )
"""

MODULE = """
    import torch
    from torch import nn


    class Gate(nn.Module):
        def __init__(self, hidden_size, layers, start):
            super().__init__()
            self.sites, self.replaces = {"layer_output": layers}, frozenset()
            self.scales = nn.ParameterDict(
                {str(n): nn.Parameter(torch.full((hidden_size,), start)) for n in layers}
            )

        def forward(self, site, layer, x, y, context):
            return y * self.scales[str(layer)]
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A folder with the distribution ``bertmod-gate``, as pip would install it."""
    site = tmp_path / "site"
    package, about = site / "bertmod_gate", site / "bertmod_gate-0.1.0.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    (package / "__init__.py").touch()
    (package / "plugin.py").write_text(textwrap.dedent(RECORD), encoding="utf-8")
    (package / "modules.py").write_text(textwrap.dedent(MODULE), encoding="utf-8")
    text = "Metadata-Version: 2.1\nName: bertmod-gate\nVersion: 0.1.0\n"
    (about / "METADATA").write_text(text, encoding="utf-8")
    points = "[bertmod]\ngate = bertmod_gate.plugin\n"
    (about / "entry_points.txt").write_text(points, encoding="utf-8")
    return site


@pytest.fixture
def run(gate: Path, tmp_path: Path) -> Run:
    """Runs pytest in an empty folder where ``bertmod-gate`` is installed."""
    folder = tmp_path / "project"
    folder.mkdir()

    def run_pytest(*arguments: str, files: dict[str, str] | None = None, **env: str) -> Any:
        for name, text in (files or {}).items():
            (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments],
            capture_output=True,
            text=True,
            cwd=folder,
            check=False,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(gate), str(ROOT)]),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                **env,
            },
        )

    return run_pytest


ONE_LINE = {
    "test_gate.py": """
        from bertmod.testing import conformance

        test_gate = conformance("bertmod-gate", configs={"gate": [{"start": 0.5}]})
    """
}
PLUGIN = ("-p", "bertmod.testing.pytest_plugin")


def test_one_line_in_a_test_file(run: Run) -> None:
    done = run("-vv", "-k", "output_at_init or light", files=ONE_LINE)
    assert done.returncode == 0, done.stdout
    assert "test_gate.py::test_gate[adapter-gate-output_at_init] PASSED" in done.stdout
    assert "test_gate.py::test_gate[adapter-gate-light_functions] PASSED" in done.stdout


def test_an_option_instead_of_a_file(run: Run) -> None:
    done = run(*PLUGIN, "--bertmod-conformance", "bertmod_gate", "-k", "record or documented")
    assert done.returncode == 0, done.stdout
    assert "2 passed, 30 deselected" in done.stdout


def test_a_setting_instead_of_an_option(run: Run) -> None:
    files = {"pyproject.toml": '[tool.pytest.ini_options]\nbertmod_conformance = ["bertmod-gate"]'}
    done = run(*PLUGIN, "--strict-config", "-vv", "-k", "adapter-gate-record", files=files)
    assert done.returncode == 0, done.stdout
    assert "bertmod-gate::adapter-gate-record PASSED" in done.stdout


def test_a_heavy_plugin_is_told_without_a_traceback(run: Run, gate: Path) -> None:
    module = gate / "bertmod_gate" / "plugin.py"
    module.write_text("import torch\n" + module.read_text(encoding="utf-8"), encoding="utf-8")
    done = run(*PLUGIN, "--bertmod-conformance", "bertmod-gate", "-k", "light_functions")
    assert done.returncode == 1
    assert (
        'adapter "gate" (bertmod-gate 0.1.0) with its default options: importing the plugin '
        "imports torch; import it inside the builder, or under TYPE_CHECKING\n"
        "  the contract: Importing a plugin, and calling every function of a spec"
    ) in done.stdout
    assert "Traceback" not in done.stdout
    assert "_run" not in done.stdout


def test_a_heavy_light_function_is_named(gate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = gate / "bertmod_gate" / "plugin.py"
    text = module.read_text(encoding="utf-8")
    heavy = text.replace("    return len(layers)", "    import torch\n    return len(layers)")
    module.write_text(heavy, encoding="utf-8")
    monkeypatch.syspath_prepend(gate)
    spec = AdapterSpec(
        name="gate",
        config=EmptyConfig,
        build=lambda *_: None,
        sites=lambda *_: {},
        num_parameters=lambda *_: 0,
        summary="",
    )
    found = LightRun("bertmod-gate", ("gate",)).found(spec)
    assert found["light"] == "its function num_parameters imports torch"
    assert "One learned scale per hidden unit, layer and task." in found["show"]


def test_a_plugin_that_does_not_load_fails(run: Run, gate: Path) -> None:
    module = gate / "bertmod_gate" / "plugin.py"
    module.write_text("import no_such_module\n", encoding="utf-8")
    done = run(files=ONE_LINE)
    assert done.returncode == 1
    assert (
        "plugin bertmod-gate 0.1.0 did not load: ModuleNotFoundError: "
        "No module named 'no_such_module'"
    ) in done.stdout
    assert "1 failed" in done.stdout


def test_a_plugin_that_is_switched_off_fails(run: Run) -> None:
    done = run(files=ONE_LINE, BERTMOD_PLUGINS="")
    assert "plugin gate of bertmod-gate is switched off by BERTMOD_PLUGINS" in done.stdout
    assert "1 failed" in done.stdout


def test_a_plugin_without_components_fails(run: Run, gate: Path) -> None:
    module = gate / "bertmod_gate" / "plugin.py"
    text = module.read_text(encoding="utf-8").replace(
        "    yield Adapter", "    return ()\n    yield Adapter"
    )
    module.write_text(text, encoding="utf-8")
    done = run(files=ONE_LINE)
    assert "bertmod-gate has a plugin, but its hooks yield no component" in done.stdout


def test_a_distribution_that_is_not_there_fails() -> None:
    (case,) = cases("bertmod-gaet")
    with pytest.raises(AssertionError, match='no plugin of a distribution called "bertmod-gaet"'):
        case()


def test_a_misspelt_component_fails() -> None:
    found = cases("bertmod", only="adapter-pals-sites", configs={"plas": [{}]})
    assert [case.id for case in found] == ["configs-plas", "adapter-pals-sites"]
    with pytest.raises(AssertionError, match='did you mean "pals"'):
        found[0]()


def test_a_pattern_that_matches_nothing_fails() -> None:
    (case,) = cases("bertmod", only="adapter-nothing-*")
    with pytest.raises(AssertionError, match="matches no check; ids look like encoder-bert-"):
        case()


def test_without_pytest() -> None:
    found = checks("adapters", "pals", configs=[{"bottleneck_size": 12, "num_heads": 3}])
    assert all(isinstance(case, Case) for case in found)
    by_id = {case.id: case for case in found}
    by_id["adapter-pals-parameter_count"]()
    wrong = checks("adapter", "pals", configs=[{"bottleneck_size": 12, "num_heads": 5}])
    with pytest.raises(AssertionError, match="5 heads do not divide bottleneck_size 12"):
        wrong[-1]()


def test_starting_pytest_loads_nothing_heavy() -> None:
    program = (
        "import sys, bertmod.testing.pytest_plugin; "
        "print(*({'torch', 'numpy', 'bertmod.registry', 'bertmod.recipe'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == ""
