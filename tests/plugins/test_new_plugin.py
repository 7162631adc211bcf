"""Every kind that ``bertmod new-plugin`` renders is clean, installs, passes its tests and runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from bertmod import scaffold
from bertmod.registry import KINDS
from bertmod.scaffold import LONGEST_NAME, NewPlugin, render, write_plugin

ROOT = Path(__file__).parents[2]
NAMES = {
    "encoder": "my_convolutions",
    "tokenizer": "my_buckets",
    "adapter": "my_gate",
    "head": "my_smooth_head",
    "task": "my_table",
    "sampler": "my_power",
    "optimizer": "my_signs",
    "schedule": "my_curve",
    "loader": "my_arrays",
    "metric": "my_recall",
    "tracker": "my_lines",
    "exporter": "my_program",
}
WITH_RECIPE = [kind for kind in KINDS if kind not in ("metric", "exporter")]

SHORT = (
    *("training.num_epochs=1", "training.steps_per_epoch=2", "training.global_batch_size=4"),
    *("evaluation.batch_size=512", "data.max_length=16"),
)
"""Settings that make a recipe's run two steps long."""

PROGRAM = """
import contextlib, io, json, sys
from bertmod.cli import main
answers = {}
for name, words in json.load(sys.stdin).items():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    answers[name] = [status, out.getvalue(), err.getvalue()]
print(json.dumps(answers))
"""
"""Runs many commands in one process, which loads torch once."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a rendered distribution of every kind."""
    made = tmp_path_factory.mktemp("rendered")
    for kind, name in NAMES.items():
        plugin = NewPlugin(kind, name)
        write_plugin(plugin, made / plugin.distribution)
    return made


@pytest.fixture(scope="module")
def environment(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment of a process in which the distributions, and no others, are installed."""
    site = tmp_path_factory.mktemp("site")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options)
    sources = [str(source) for source in sorted(folder.iterdir())]
    _succeed([*pip, "--target", str(site), *sources])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]),
        "BERTMOD_PLUGINS": ",".join(NAMES.values()),
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def answers(
    folder: Path, environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Any]:
    """(exit status, output, errors) of checking and of running each kind's recipe."""
    runs, commands = tmp_path_factory.mktemp("runs"), {}
    checkpoint = _checkpoint(folder, tmp_path_factory.mktemp("checkpoint"))
    short = [word for option in SHORT for word in ("--set", option)]
    for kind in WITH_RECIPE:
        plugin = NewPlugin(kind, NAMES[kind])
        recipe = str(folder / plugin.distribution / "recipes" / f"{plugin.name}.json")
        given = ["--checkpoint", str(checkpoint)] if kind == "loader" else []
        commands[f"check {kind}"] = ["check", recipe, *given]
        run = ["run", recipe, *given, *short, "--quiet"]
        commands[f"run {kind}"] = [*run, "--output", str(runs / kind)]
    tasks = [{"name": NAMES["task"], "metrics": [NAMES["metric"], "accuracy"]}]
    both = ["--set", f"tasks={json.dumps(tasks)}", "--output", str(runs / "metric")]
    commands["run metric"] = [*commands["run task"][:-2], *both]
    done = _succeed([sys.executable, "-c", PROGRAM], environment, given=json.dumps(commands))
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _checkpoint(folder: Path, target: Path) -> Path:
    """A checkpoint for the rendered loader, as its own tests make one."""
    tests = folder / NewPlugin("loader", NAMES["loader"]).distribution / "tests"
    program = (
        "import sys, runpy, pathlib; "
        "runpy.run_path(sys.argv[1])['write_checkpoint'](pathlib.Path(sys.argv[2]))"
    )
    _succeed([sys.executable, "-c", program, str(tests / "test_conformance.py"), str(target)])
    return target


def _succeed(
    words: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    given: str | None = None,
    cwd: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        words, env=environment, input=given, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done


def test_there_are_templates_of_every_kind() -> None:
    templates = scaffold.templates_folder()
    assert templates == ROOT / "plugins" / "template"
    assert {path.name for path in templates.iterdir()} == {*KINDS, "shared"}
    assert set(NAMES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_package_is_complete(folder: Path, kind: str) -> None:
    plugin = NewPlugin(kind, NAMES[kind])
    here = folder / plugin.distribution
    project = tomllib.loads((here / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"] == plugin.distribution
    points = project["project"]["entry-points"]["bertmod"]
    assert points == {plugin.name: f"{plugin.package}.plugin"}
    assert (here / plugin.package / "py.typed").read_text() == ""
    readme = (here / "README.md").read_text(encoding="utf-8")
    told = [path for path in here.rglob("*.py") if path.name != "__init__.py"]
    assert [path.name for path in told if f"/{path.name}`" not in readme] == []
    assert (here / "recipes" / f"{plugin.name}.json").is_file() == (kind in WITH_RECIPE)


def test_the_code_is_clean(folder: Path, tmp_path: Path) -> None:
    """Also for the shortest and the longest name, which move line breaks."""
    for name in ("a", "x" * LONGEST_NAME):
        for kind in KINDS:
            plugin = NewPlugin(kind, name)
            write_plugin(plugin, tmp_path / f"{plugin.distribution}-{kind}")
    for words in (("check", "--quiet"), ("format", "--check", "--diff", "--quiet")):
        _succeed([sys.executable, "-m", "ruff", *words, "--no-cache", str(folder), str(tmp_path)])


def test_rendering_twice_gives_the_same() -> None:
    plugin = NewPlugin("adapter", "my_gate")
    assert list(render(plugin)) == list(render(plugin))


@pytest.mark.slow
def test_the_code_is_typed(folder: Path, request: pytest.FixtureRequest) -> None:
    """With mypy --strict, as each distribution's own settings ask for."""
    sources = sorted(folder.iterdir())
    packages = [str(next(source.glob("bertmod_*"))) for source in sources]
    settings = str(sources[0] / "pyproject.toml")
    cache = str(request.config.cache.mkdir("rendered-mypy"))
    path = os.pathsep.join([*map(str, sources), str(ROOT)])
    mypy = [sys.executable, "-m", "mypy", "--config-file", settings, "--cache-dir", cache]
    done = _succeed([*mypy, *packages], {**os.environ, "MYPYPATH": path})
    assert done.stdout.startswith("Success: no issues found in ")


@pytest.mark.slow
def test_the_rendered_tests_pass(folder: Path, environment: Mapping[str, str]) -> None:
    tests = [str(source / "tests") for source in sorted(folder.iterdir())]
    plain = ("-q", "-c", os.devnull, "--rootdir", str(folder), "--import-mode=importlib")
    words = [sys.executable, "-m", "pytest", *plain, "-p", "no:cacheprovider", *tests]
    last = _succeed(words, environment).stdout.splitlines()[-1]
    assert "passed" in last
    assert not {"skipped", "warning", "warnings", "xfailed"} & set(last.split())


@pytest.mark.slow
def test_the_rendered_tests_pass_where_a_user_runs_them(
    folder: Path, environment: Mapping[str, str]
) -> None:
    """In the distribution's own folder, with its own settings."""
    here = folder / NewPlugin("metric", NAMES["metric"]).distribution
    done = _succeed(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"], environment, cwd=here
    )
    assert f"rootdir: {here}" in done.stdout
    assert " passed" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", WITH_RECIPE)
def test_its_recipe_checks(answers: Mapping[str, Any], kind: str) -> None:
    status, out, err = answers[f"check {kind}"]
    assert (status, err) == (0, "")
    assert out.splitlines()[0].endswith(f"{NAMES[kind]}.json: no problems")


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*WITH_RECIPE, "metric"])
def test_its_recipe_runs(answers: Mapping[str, Any], kind: str) -> None:
    """Two steps; the metric in the recipe of the task, which names it."""
    status, out, err = answers[f"run {kind}"]
    assert status == 0, err
    scored = f"dev/{NAMES['metric']}" if kind == "metric" else "dev/accuracy"
    assert f"  {scored}  " in out


@pytest.mark.slow
def test_it_does_not_leak(answers: Mapping[str, Any]) -> None:
    """What was rendered is installed in a folder of its own, not for the tests after it."""
    assert answers
    names = [name for name in sys.modules if name.startswith("bertmod_my_")]
    assert not names
