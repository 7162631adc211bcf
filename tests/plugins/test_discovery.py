"""Plugins found by real entry points, in a process of their own."""

from __future__ import annotations

import json
from importlib.metadata import entry_points

import pytest

import bertmod

BROKEN = "import numexpr_that_is_not_there\n"
CAUSE = "ModuleNotFoundError: No module named 'numexpr_that_is_not_there'"
WARNING = f"warning: plugin bertmod-broken 0.1.0 did not load: {CAUSE}\n"
BUILTIN = f"bertmod {bertmod.__version__}"


def row(result, name):
    return next(line for line in result.stdout.splitlines() if line.split()[0] == name)


def test_an_installed_plugin_is_listed_with_its_provider(site, good):
    site.install("curriculum", good("curriculum"), version="2.3")
    result = site.bertmod("list", "samplers")
    assert (result.returncode, result.stderr) == (0, "")
    assert row(result, "curriculum") == "curriculum    bertmod-curriculum 2.3  For a test."


def test_a_plugin_that_does_not_import_is_a_warning(site, good):
    site.install("broken", BROKEN)
    site.install("fine", good("fine"))
    result = site.bertmod("plugins")
    assert (result.returncode, result.stderr) == (0, WARNING)
    broken = row(result, "bertmod-broken").split()
    assert broken[:4] == ["bertmod-broken", "0.1.0", "broken", "failed"]
    assert row(result, "bertmod-broken").endswith(CAUSE)
    assert row(result, "bertmod-fine").split() == ["bertmod-fine", "0.1.0", "fine", "loaded"]


def test_it_is_an_error_under_strict_plugins_wherever_that_stands(site):
    site.install("broken", BROKEN)
    for words in (["--strict-plugins", "list"], ["list", "--strict-plugins"]):
        result = site.bertmod(*words)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == f"error: plugin bertmod-broken 0.1.0 did not load: {CAUSE}\n"


def test_it_is_an_error_with_its_cause_once_a_recipe_needs_it(site):
    site.install("broken", BROKEN)
    recipe = {"tasks": [{"name": "cola"}], "sampler": {"name": "curriculum"}}
    (site.folder / "x.json").write_text(json.dumps(recipe))
    result = site.bertmod("check", "x.json", env={"BERTMOD_PLUGINS": "broken"})
    assert result.returncode == 2
    assert result.stderr == (
        f"{WARNING}"
        "x.json: 1 problem\n"
        "  sampler.name\n"
        '      no sampler called "curriculum"\n'
        "      available: anneal, explicit, proportional, round_robin, sqrt, temperature\n"
        f"      plugin bertmod-broken 0.1.0 did not load: {CAUSE}\n"
    )


def test_a_plugin_that_exits_does_not_end_the_program(site):
    site.install("exits", "raise SystemExit('bye')\n")
    result = site.bertmod("list", "trackers")
    assert result.returncode == 0
    assert result.stderr == ("warning: plugin bertmod-exits 0.1.0 did not load: SystemExit: bye\n")


def test_two_plugins_with_one_name(site, good):
    site.install("mine", good("anneal"))
    recipe = {"tasks": [{"name": "cola"}]}
    path = site.folder / "x.json"
    path.write_text(json.dumps(recipe))
    assert site.bertmod("check", "x.json").returncode == 0, "defaults name their provider"
    path.write_text(json.dumps({**recipe, "sampler": {"name": "anneal"}}))
    result = site.bertmod("check", "x.json")
    assert (result.returncode, result.stderr) == (
        2,
        "x.json: 1 problem\n"
        "  sampler.name\n"
        f'      2 plugins provide a sampler called "anneal": {BUILTIN} and bertmod-mine 0.1.0\n'
        '      write "bertmod/anneal" or "bertmod-mine/anneal"\n',
    )
    path.write_text(json.dumps({**recipe, "sampler": {"name": "bertmod-mine/anneal"}}))
    assert site.bertmod("check", "x.json").returncode == 0


def test_a_misspelt_hook(site, good):
    site.install("typo", good("a").replace("bertmod_samplers", "bertmod_sampler"))
    assert site.bertmod("list", "samplers").stderr == (
        "warning: plugin bertmod-typo 0.1.0 did not load: "
        'unknown hook "bertmod_sampler", did you mean "bertmod_samplers"?\n'
    )


def test_a_plugin_for_another_contract(site, good):
    site.install("future", good("a").replace("CONTRACT = 1", "CONTRACT = 2"))
    assert site.bertmod("list", "samplers").stderr == (
        "warning: plugin bertmod-future 0.1.0 did not load: "
        "made for contract 2, this bertmod offers contract 1, install a newer version of bertmod\n"
    )


def test_a_hook_with_arguments(site, good):
    site.install("wide", good("a").replace("samplers():", "samplers(registry):"))
    assert site.bertmod("list", "samplers").stderr == (
        "warning: plugin bertmod-wide 0.1.0 did not load: "
        "hooks take no arguments, but it has bertmod_samplers(registry)\n"
    )


def test_the_switch_chooses_plugins_by_entry_point(site, good):
    site.install("one", good("one"))
    site.install("two", good("two"))
    result = site.bertmod("plugins", env={"BERTMOD_PLUGINS": "two"})
    assert (result.returncode, result.stderr) == (0, "")
    assert row(result, "bertmod-one").split()[3:] == ["switched", "off"]
    assert row(result, "bertmod-two").split()[3:] == ["loaded"]
    result = site.bertmod("list", "samplers", env={"BERTMOD_PLUGINS": ""})
    assert "bertmod-" not in result.stdout
    assert "anneal" in result.stdout, "what ships with bertmod always loads"


def test_a_name_in_the_switch_that_is_not_installed_is_told(site, good):
    site.install("one", good("one"))
    env = {"BERTMOD_PLUGINS": "one, on"}
    around = {point.name for point in entry_points(group="bertmod")}  # of this environment
    told = (
        'plugin "on" did not load: BERTMOD_PLUGINS names it, but it is not installed, '
        f'did you mean "one"? (installed: {", ".join(sorted({"one", *around}))})\n'
    )
    result = site.bertmod("list", "samplers", env=env)
    assert (result.returncode, result.stderr) == (0, f"warning: {told}")
    result = site.bertmod("list", "--strict-plugins", env=env)
    assert (result.returncode, result.stderr) == (2, f"error: {told}")


COMMAND = """
    from bertmod import CommandSpec, hookimpl

    BERTMOD_CONTRACT = 1

    def {name}(count: int = 1) -> None:
        print("hello " * count)

    @hookimpl
    def bertmod_commands():
        yield CommandSpec(name="{name}", function={name}, summary="Says hello.")
"""


def test_a_plugin_adds_a_command(site):
    site.install("greet", COMMAND.format(name="greet"))
    assert site.bertmod("greet", "--count", "2").stdout == "hello hello \n"
    lines = site.bertmod("--help").stdout.splitlines()
    assert ["greet", "Says", "hello."] in [line.split() for line in lines]


def test_a_command_that_two_plugins_provide_is_chosen_by_provider(site):
    site.install("greet", COMMAND.format(name="list"))
    result = site.bertmod("list")
    assert (result.returncode, result.stderr) == (
        2,
        f'error: 2 plugins provide a command called "list": {BUILTIN} and bertmod-greet 0.1.0\n'
        '    write "bertmod/list" or "bertmod-greet/list"\n',
    )
    assert site.bertmod("bertmod-greet/list").stdout == "hello \n"
    assert site.bertmod("bertmod/list", "samplers").returncode == 0


def test_a_check_that_raises_names_its_plugin(site, good):
    code = good("odd").replace("build=print,", "build=print, check=lambda config, tasks: 1 / 0,")
    site.install("odd", code)
    recipe = {"tasks": [{"name": "cola"}], "sampler": {"name": "odd"}}
    (site.folder / "x.json").write_text(json.dumps(recipe))
    result = site.bertmod("check", "x.json")
    assert (result.returncode, result.stderr) == (
        2,
        'error: sampler "odd" (bertmod-odd 0.1.0) failed while it was checked: '
        "ZeroDivisionError: division by zero\n",
    )
    assert "Traceback" in site.bertmod("check", "x.json", "--debug").stderr


GATE = """
from pydantic import Field
from bertmod import AdapterSpec, ComponentConfig, hookimpl

BERTMOD_CONTRACT = 1

class Config(ComponentConfig):
    told: int = Field(0, description="Parameters too many that the spec tells of.")
    bare: bool = Field(False, description="Whether the builder gives nothing.")
    where: str = Field("layer_output", description="Site of the module.")

def build(config, context):
    import torch
    gate = torch.nn.Module()
    gate.sites, gate.replaces = {config.where: context.layers}, frozenset()
    gate.scale = torch.nn.Parameter(torch.ones(3))
    return None if config.bare else gate

def sites(config, shape, layers):
    return {"layer_output": layers}

def count(config, shape, layers):
    return 3 + config.told

@hookimpl
def bertmod_adapters():
    yield AdapterSpec(
        name="gate", config=Config, build=build, sites=sites, num_parameters=count, summary="x"
    )
"""
BREAKS = 'error: adapter "gate" (bertmod-gate 0.1.0) breaks the contract: '


def with_gate(site, **options):
    recipe = {"tasks": [{"name": "mrpc"}], "adapters": [{"name": "gate", **options}]}
    (site.folder / "x.json").write_text(json.dumps(recipe))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            GATE.replace('{"layer_output": layers}', '["layer_output"]'),
            "sites gives list, not a mapping of sites to layers",
        ),
        (
            GATE.replace('{"layer_output": layers}', '{"layer_output": (0, 7)}'),
            'sites names layer 7 at "layer_output", of 0, 1',
        ),
        (GATE.replace("3 +", "0.5 +"), "num_parameters gives 0.5, not a whole number from 0"),
        (GATE.replace("3 +", "None #"), "num_parameters gives NoneType, not a whole number from 0"),
    ],
)
def test_an_adapter_whose_spec_answers_what_no_spec_may(site, code, told):
    site.install("gate", code)
    with_gate(site)
    result = site.bertmod("check", "x.json")
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"{BREAKS}{told}\n")


def test_an_adapter_whose_count_raises_names_its_plugin(site):
    site.install("gate", GATE.replace("3 +", "3 // 0 +"))
    with_gate(site)
    result = site.bertmod("check", "x.json")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        'error: adapter "gate" (bertmod-gate 0.1.0) failed while it was checked: '
        "ZeroDivisionError: integer division or modulo by zero\n"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bare": True}, "its builder gives NoneType, not a torch module"),
        ({"told": 1}, "num_parameters says 4, its module has 3"),
        (
            {"where": "ffn_output"},
            "its spec says that it acts at {'layer_output': (0, 1)}, its module at "
            "{'ffn_output': (0, 1)}",
        ),
    ],
)
def test_an_adapter_that_is_not_what_its_spec_says_does_not_train(site, options, told):
    site.install("gate", GATE)
    with_gate(site, **options)
    result = site.bertmod("run", "x.json", "--quiet")
    assert (result.returncode, result.stdout) == (2, "")
    more = "its author finds more with the checks of bertmod.testing"
    assert result.stderr == f"{BREAKS}{told}\n    {more}\n"
