"""The commands that build nothing, as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

import bertmod as package

ROOT = Path(__file__).parents[2]
VERSION = package.__version__


def test_version(bertmod):
    result = bertmod("--version")
    assert (result.returncode, result.stdout) == (0, f"bertmod {VERSION}\n")


def test_help_lists_the_commands(bertmod):
    for words in ([], ["--help"]):
        result = bertmod(*words)
        assert result.returncode == 0
        assert "  check " in result.stdout
        assert "--strict-plugins" in result.stdout


def test_help_imports_neither_torch_nor_numpy():
    code = (
        "import sys; from bertmod.cli import main; main(['--help'])\n"
        "heavy = {'torch', 'numpy', 'sklearn', 'scipy', 'tensorboard', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stderr == "[]\n"


def test_an_unknown_command(bertmod):
    result = bertmod("chekc")
    assert (result.returncode, result.stdout) == (2, "")
    first, second = result.stderr.splitlines()
    assert first == 'error: no command called "chekc", did you mean "check"?'
    assert second.startswith("    available: check, ")


def test_an_unknown_option(bertmod):
    result = bertmod("list", "--nope")
    assert result.returncode == 2
    assert result.stderr.startswith("error: No such option: --nope")
    assert result.stderr.endswith("try: bertmod list --help\n")


def test_list_of_one_kind(bertmod):
    result = bertmod("list", "tracker")
    assert (result.returncode, result.stderr) == (0, "")
    assert [line.split()[:3] for line in result.stdout.splitlines()] == [
        ["jsonl", "bertmod", VERSION],
        ["tensorboard", "bertmod", VERSION],
    ]


def test_list_of_an_unknown_kind(bertmod):
    result = bertmod("list", "adaptr")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        'error: no kind called "adaptr", did you mean "adapter"?\n'
        "    kinds: encoder, tokenizer, adapter, head, task, sampler, optimizer, schedule, "
        "loader, metric, tracker, exporter\n",
    )


def test_show_of_a_component(bertmod):
    result = bertmod("show", "sampler", "anneal")
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "sampler bertmod/anneal"
    assert f"  provider  bertmod {VERSION}" in lines
    assert "  drop: a number, at least 0, at most 1; default 0.8" in lines
    assert lines[lines.index("slot keys") + 1] == (
        "  sizes: an object with integers, at least 1, or null; default null"
    )


def test_show_of_an_encoder_has_its_sites(bertmod):
    lines = bertmod("show", "encoders", "bert").stdout.splitlines()
    assert "sites (widths with default options: 2 layers of 128)" in lines
    assert "  layer_residual    delta       128 to 128" in lines


def test_show_of_nothing(bertmod):
    result = bertmod("show", "tracker", "json")
    assert (result.returncode, result.stderr) == (
        2,
        'error: no tracker called "json", did you mean "jsonl"?\n'
        "    available: jsonl, tensorboard\n",
    )


def test_schema_is_json_schema(bertmod, tmp_path):
    result = bertmod("schema")
    jsonschema.Draft202012Validator.check_schema(json.loads(result.stdout))
    assert bertmod("schema", "--output", "s.json").returncode == 0
    assert (tmp_path / "s.json").read_text() == result.stdout
    result = bertmod("schema", "--output", "no/s.json")
    assert (result.returncode, result.stderr) == (
        2,
        "error: cannot write no/s.json: No such file or directory\n",
    )


def test_check_of_a_good_recipe(bertmod, tmp_path):
    (tmp_path / "x.json").write_text('{"tasks": [{"name": "cola"}]}')
    result = bertmod("check", "x.json", "--set", 'encoder.size="mini"')
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "x.json: no problems"
    assert lines[1].startswith("  encoder: bertmod/bert, 4 layers of 256, ")
    assert lines[2] == "  task cola: bertmod/classification, dev/matthews, 0 adapter parameters"


def test_check_of_a_bad_recipe_has_no_traceback_unless_debug(bertmod, tmp_path):
    (tmp_path / "x.json").write_text('{"tasks": [{"name": "colla"}], "sed": 1}')
    result = bertmod("check", "x.json")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "x.json: 2 problems\n"
        "  tasks[0].name\n"
        '      no task called "colla", did you mean "cola"?\n'
        "      available: ax, choice_table, cola, conll, mnli, mrpc, pretraining, qnli, qqp, rte, "
        "span_table, squad, sst2, stsb, swag, table, tag_table, wnli, xnli\n"
        "  sed\n"
        '      unknown option, did you mean "seed"?\n'
        "      a recipe takes: schema_version, seed, data, init, freeze, training, evaluation, "
        "saving, extends, checkpoint, encoder, tokenizer, tasks, adapters, sampler, optimizer, "
        "schedule, trackers\n"
    )
    for words in (["--debug", "check", "x.json"], ["check", "x.json", "--debug"]):
        result = bertmod(*words)
        assert result.returncode == 2
        assert "Traceback" in result.stderr


def test_a_missing_recipe_names_near_ones(bertmod, tmp_path):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/pals_mine.json").write_text("{}")
    result = bertmod("check", "recipes/pals_mien.json")
    assert result.returncode == 2
    assert result.stderr.startswith(
        "recipes/pals_mien.json: 1 problem\n"
        "  (file)\n"
        "      there is no such recipe\n"
        '      did you mean "recipes/pals_mine.json"'
    )


@pytest.mark.skipif(os.name != "posix", reason="a shell's pipe")
def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -m bertmod schema | head -1"
    result = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("{\n", "")


def test_ctrl_c_ends_with_130():
    code = (
        "import sys, bertmod.cli.program as program\n"
        "def interrupted(*a, **k): raise KeyboardInterrupt\n"
        "program.begin = interrupted\n"
        "sys.exit(program.main(['list']))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (130, "interrupted\n")
