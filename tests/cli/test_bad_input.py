"""What a user may get wrong: one clear message, status 2, no traceback, nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bertmod.builtin.encoders.config import BertConfig
from bertmod.builtin.encoders.names import names

SIZES = {
    "vocab_size": 7,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "max_position_embeddings": 40,
}
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "##s"]


@pytest.fixture
def refused(tmp_path):
    """Asserts that a command ended with a message and status 2, and left no run folder."""

    def check(result, message: str) -> None:
        assert (result.returncode, result.stdout, result.stderr) == (2, "", message)
        assert not (tmp_path / "out").exists()

    return check


@pytest.fixture
def hub(tmp_path):
    """Writes a Hugging Face folder with a tiny encoder."""

    def write(*, pieces=PIECES, file="model.safetensors") -> Path:
        folder = tmp_path / "hub"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"model_type": "bert", **SIZES}))
        (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces))
        tensors = {
            row.stored["huggingface"]: torch.zeros(row.shape) for row in names(BertConfig(**SIZES))
        }
        save = save_file if file.endswith(".safetensors") else torch.save
        save(tensors, folder / file)
        return folder

    return write


def test_a_misspelt_component_and_a_misspelt_option_at_once(bertmod, recipe, refused) -> None:
    name = recipe(adapters=[{"name": "pals", "botleneck_size": 12}], sampler={"name": "aneal"})
    refused(
        bertmod("run", name, "--output", "out"),
        "tiny.json: 2 problems\n"
        "  adapters[0].botleneck_size\n"
        '      unknown option, did you mean "bottleneck_size"?\n'
        '      adapter "pals" (bertmod 0.1.0) takes: bottleneck_size, num_heads, '
        "share_projections, hidden_act, attention_probs_dropout_prob, site, id, tasks, layers\n"
        "  sampler.name\n"
        '      no sampler called "aneal", did you mean "anneal"?\n'
        "      available: anneal, explicit, proportional, round_robin, sqrt, temperature\n",
    )


def test_a_misspelt_loader_is_told_of_auto(here, recipe, refused) -> None:
    name = recipe(checkpoint={"name": "atuo", "path": "x"})
    refused(
        here("run", name, "--output", "out"),
        "tiny.json: 1 problem\n"
        "  checkpoint.name\n"
        '      no loader called "atuo", did you mean "auto"?\n'
        "      available: bert_n_pals, bertmod, huggingface, pytorch_pretrained_bert, tensorflow\n",
    )


def test_a_recipe_that_is_not_json(bertmod, tmp_path, refused) -> None:
    (tmp_path / "x.json").write_text('{"tasks": [\n')
    refused(
        bertmod("run", "x.json", "--output", "out"),
        "x.json: 1 problem\n  line 2, column 1\n      not JSON: expecting value\n",
    )


def test_a_recipe_that_is_a_folder(here, tmp_path, refused) -> None:
    (tmp_path / "x").mkdir()
    refused(
        here("run", "x", "--output", "out"),
        "x: 1 problem\n  (file)\n      cannot be read: Is a directory\n",
    )


def test_a_data_folder_that_is_missing(bertmod, recipe, tmp_path, refused) -> None:
    (tmp_path / "sets/GLUE").mkdir(parents=True)
    refused(
        bertmod("run", recipe(), "--data", "sets/GLEU", "--output", "out"),
        f"error: {tmp_path}/sets/GLEU: no such data folder\n"
        f"  {tmp_path}/sets has: GLUE\n"
        "  name another with --data DIR\n",
    )
    (tmp_path / "sets/train.json").touch()
    refused(
        bertmod("run", recipe(), "--data", "sets/train.json", "--output", "out"),
        f"error: {tmp_path}/sets/train.json: a file, not a data folder\n"
        f"  {tmp_path}/sets has: GLUE, train.json\n"
        "  name another with --data DIR\n",
    )


def test_missing_files_of_every_task_at_once(here, recipe, cola, refused) -> None:
    (cola / "CoLA/dev.tsv").unlink()
    (cola / "RTE").mkdir()
    name = recipe(tasks=[{"name": "rte"}, {"name": "cola"}])
    refused(
        here("run", name, "--data", cola, "--output", "out"),
        f'error: {cola}/RTE/train.tsv: no such file, task "rte" needs it\n'
        f'  {cola}/RTE/dev.tsv: no such file, task "rte" needs it\n'
        f"  {cola}/RTE holds: nothing\n"
        f'{cola}/CoLA/dev.tsv: no such file, task "cola" needs it\n'
        f"  {cola}/CoLA holds: train.tsv\n",
    )


@pytest.mark.parametrize("split", ["train", "dev"])
def test_an_empty_file(here, recipe, cola, refused, split) -> None:
    (cola / f"CoLA/{split}.tsv").write_text("")
    refused(
        here("run", recipe(), "--data", cola, "--output", "out"),
        f"error: {cola}/CoLA/{split}.tsv: the file has no data rows\n"
        "  expected: 4 columns separated by tabs, no header line\n",
    )


def _spoil(file: Path) -> None:
    """A row too short on line 3, one too long on line 5, an unknown label on line 6."""
    lines = file.read_text().splitlines()
    lines[2] = "x\t0\tno stars"
    lines[4] += "\tmore"
    lines[5] = lines[5].replace("\t1\t", "\tyes\t")
    file.write_text("".join(f"{line}\n" for line in lines))


def test_malformed_rows_are_a_warning_every_time(here, recipe, cola, tmp_path) -> None:
    _spoil(cola / "CoLA/train.tsv")
    warning = (
        f"{cola}/CoLA/train.tsv: left out 3 malformed rows of 40\n"
        "  line 3: 3 columns, not 4\n"
        "  line 5: 5 columns, not 4\n"
        '  line 6: label "yes" is none of "0", "1"\n'
    )
    for output in ("first", "from_the_cache"):
        result = here("run", recipe(), "--data", cola, "--output", output, "--quiet")
        assert (result.returncode, result.stderr) == (0, f"WARNING: {warning}")
        assert f"WARNING {warning}" in (tmp_path / output / "log.txt").read_text()
        assert " 37 " in result.stdout


def test_malformed_rows_are_an_error_with_strict_data(here, recipe, cola, refused) -> None:
    _spoil(cola / "CoLA/train.tsv")
    for command in (("run", recipe(), "--output", "out"), ("plan", recipe())):
        refused(
            here(*command, "--data", cola, "--strict-data"),
            f"error: {cola}/CoLA/train.tsv: 3 malformed rows of 40\n"
            "  line 3: 3 columns, not 4\n"
            "  line 5: 5 columns, not 4\n"
            '  line 6: label "yes" is none of "0", "1"\n'
            "  such rows are left out with a warning unless --strict-data is set\n",
        )


def test_labels_none_of_which_is_known(here, recipe, cola, refused) -> None:
    file = cola / "CoLA/train.tsv"
    file.write_text(file.read_text().replace("\t1\t", "\tyes\t").replace("\t0\t", "\tno\t"))
    result = here("run", recipe(), "--data", cola, "--output", "out")
    refused(
        result,
        f"error: {file}: every row is malformed (40)\n"
        '  line 1: label "no" is none of "0", "1"\n'
        '  line 2: label "yes" is none of "0", "1"\n'
        '  line 3: label "no" is none of "0", "1"\n'
        '  line 4: label "yes" is none of "0", "1"\n'
        '  line 5: label "no" is none of "0", "1"\n'
        "  and 35 more\n",
    )


def test_a_checkpoint_with_more_vocabulary_than_embeddings(here, recipe, hub, refused) -> None:
    folder = hub(pieces=[*PIECES, "dog"])
    refused(
        here("run", recipe(), "--checkpoint", folder, "--output", "out"),
        "tiny.json: 1 problem\n"
        "  checkpoint.path (--checkpoint)\n"
        f"      {folder}/vocab.txt: the vocabulary has 8 entries, but the word embeddings have "
        "only 7 rows\n"
        "      use the vocabulary that belongs to the checkpoint\n",
    )


def test_a_recipe_with_more_vocabulary_than_embeddings(here, recipe, tmp_path, refused) -> None:
    (tmp_path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in PIECES))
    name = recipe(
        encoder={"name": "bert", "size": "tiny", "vocab_size": 6},
        tokenizer={"name": "wordpiece", "vocab": "vocab.txt"},
    )
    for command in (("check", name), ("run", name, "--output", "out")):
        refused(
            here(*command),
            "tiny.json: 1 problem\n"
            "  tokenizer.vocab\n"
            "      the vocabulary has 7 entries, the encoder 6 word embeddings\n"
            "      use the vocabulary that belongs to the encoder, or leave encoder.vocab_size "
            "out\n",
        )


def test_a_checkpoint_cut_by_a_byte(bertmod, recipe, hub, refused) -> None:
    file = hub() / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    refused(
        bertmod("run", recipe(), "--checkpoint", "hub", "--output", "out"),
        "tiny.json: 1 problem\n"
        "  checkpoint.path (--checkpoint)\n"
        f"      {file}: damaged: {len(whole) - 1:,} bytes long, but its header speaks of "
        f"{len(whole):,}\n",
    )


def test_a_torch_checkpoint_cut_by_a_byte(here, recipe, hub, tmp_path) -> None:
    file = hub(file="pytorch_model.bin") / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-1])
    result = here("run", recipe(), "--checkpoint", "hub", "--output", "out")
    assert (result.returncode, result.stdout) == (2, "")
    assert f"      {file}: damaged or cut off: " in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


class _Maker:
    """Pickled, it makes a folder when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["whole", "beside tensors"])
def test_a_pickle_with_code_in_it(bertmod, recipe, hub, tmp_path, refused, how) -> None:
    file = hub(file="pytorch_model.bin") / "pytorch_model.bin"
    evil = _Maker(tmp_path / "owned")
    if how == "whole":
        file.write_bytes(pickle.dumps(evil))
    else:
        torch.save({**torch.load(file), "evil": evil}, file)
    result = bertmod("run", recipe(), "--checkpoint", "hub", "--output", "out")
    refused(
        result,
        "tiny.json: 1 problem\n"
        "  checkpoint.path (--checkpoint)\n"
        f'      {file}: refused: it would run "{os.mkdir.__module__}.mkdir" when it is opened\n'
        "      only plain state dicts of tensors are read\n",
    )
    assert not (tmp_path / "owned").exists()


def test_a_run_folder_that_is_used(bertmod, recipe, trained, fingerprint) -> None:
    before = fingerprint(trained)
    result = bertmod("run", recipe(), "--output", trained)
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        f"error: {trained}: already holds a run\n"
        "  go on with it: --resume\n"
        "  start another: --output NEW_FOLDER\n",
    )
    assert fingerprint(trained) == before


def test_resume_with_a_changed_recipe(here, trained, fingerprint) -> None:
    before = fingerprint(trained)
    recipe = trained.parents[1] / "eight.json"
    result = here(
        *("run", recipe, "--resume", "--output", trained),
        *("--set", "seed=3", "--set", "training.num_epochs=1"),
    )
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        f"{recipe} does not go on with this run: 2 problems\n"
        "  seed\n"
        "      42 when the run began, 3 now\n"
        "      of a changed recipe these are taken: a larger training.num_epochs, "
        "training.activation_checkpointing, training.compile, training.fast, "
        "training.gradient_accumulation_steps, training.max_minutes, training.offload, "
        "training.parallel, evaluation.batch_size\n"
        "  training.num_epochs\n"
        "      2 when the run began, 1 now\n"
        "      a run can be made longer, not shorter\n",
    )
    assert fingerprint(trained) == before


def test_resume_where_no_run_is(here, recipe, refused) -> None:
    refused(
        here("run", recipe(), "--resume", "--output", "out"),
        "error: out: no run to resume here (it has no recipe.json)\n"
        "  name its folder with --output, or leave --resume out to start it\n",
    )


def test_resume_of_a_run_whose_recipe_is_damaged(here, recipe, tmp_path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/recipe.json").write_text('{"tasks": ')
    result = here("run", recipe(), "--resume", "--output", "x")
    assert (result.returncode, result.stderr) == (
        2,
        "x/recipe.json: 1 problem\n  line 1, column 11\n      not JSON: expecting value\n",
    )


def test_a_plugin_that_fails_to_import(bertmod, recipe, install, env, tmp_path) -> None:
    path = install("curriculum", "import no_such_module\n")
    env = {key: value for key, value in env.items() if key != "BERTMOD_PLUGINS"}
    env["PYTHONPATH"] = path
    cause = (
        "plugin bertmod-curriculum 0.1.0 did not load: ModuleNotFoundError: "
        "No module named 'no_such_module'"
    )
    name = recipe(sampler={"name": "curriculum"})
    result = bertmod("run", name, "--output", "out", env=env)
    assert (result.returncode, result.stderr) == (
        2,
        f"warning: {cause}\n"
        "tiny.json: 1 problem\n"
        "  sampler.name\n"
        '      no sampler called "curriculum"\n'
        "      available: anneal, explicit, proportional, round_robin, sqrt, temperature\n"
        f"      {cause}\n",
    )
    result = bertmod("run", recipe(), "--output", "out", "--strict-plugins", env=env)
    assert (result.returncode, result.stderr) == (2, f"error: {cause}\n")
    assert not (tmp_path / "out").exists()
    result = bertmod("check", recipe(), env=env)
    assert (result.returncode, result.stderr) == (0, f"warning: {cause}\n")


ANNEAL = """
    from bertmod import EmptyConfig, SamplerSpec, hookimpl
    BERTMOD_CONTRACT = 1

    @hookimpl
    def bertmod_samplers():
        yield SamplerSpec(name="anneal", config=EmptyConfig, build=print, summary="For a test.")
"""


def test_two_plugins_with_one_name(bertmod, recipe, install, env, tmp_path) -> None:
    path = install("other", ANNEAL)
    env = {key: value for key, value in env.items() if key != "BERTMOD_PLUGINS"}
    env["PYTHONPATH"] = path
    name = recipe(sampler={"name": "anneal"})
    result = bertmod("run", name, "--output", "out", env=env)
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        "tiny.json: 1 problem\n"
        "  sampler.name\n"
        '      2 plugins provide a sampler called "anneal": bertmod 0.1.0 and '
        "bertmod-other 0.1.0\n"
        '      write "bertmod/anneal" or "bertmod-other/anneal"\n',
    )
    assert not (tmp_path / "out").exists()
    assert bertmod("check", recipe(), env=env).returncode == 0, "defaults name their provider"
    name = recipe(sampler={"name": "bertmod/anneal"})
    assert bertmod("check", name, env=env).returncode == 0


@pytest.mark.slow
def test_ctrl_c_while_the_data_is_read(recipe, cola, tmp_path, env) -> None:
    rows = (f"x\t{n % 2}\t\tThe cat sat on mat number {n}.\n" for n in range(400_000))
    (cola / "CoLA/train.tsv").write_text("".join(rows))
    command = [sys.executable, "-m", "bertmod", "run", recipe(), "--data", "data"]
    process = subprocess.Popen(
        [*command, "--output", "deep/out"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "deep/out/run.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout, stderr) == (130, "", "interrupted\n")
    assert not (tmp_path / "deep").exists()


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the trained run that a test may spoil."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


def test_a_folder_that_is_no_run(here, tmp_path) -> None:
    for words in (("evaluate", "x"), ("predict", "x", "--output", "y")):
        result = here(*words)
        assert (result.returncode, result.stderr) == (
            2,
            "error: x: not a run folder (it has no recipe.json)\n",
        )


def test_a_run_without_a_trained_state_yet(here, copy) -> None:
    shutil.rmtree(copy / "best")
    for source in ("mean", "best"):
        result = here("evaluate", "copy", "--from", source)
        assert (result.returncode, result.stderr) == (
            2,
            f"error: copy: no trained state of the kind {source} yet\n  use --from final\n",
        )
    shutil.rmtree(copy / "final")
    result = here("evaluate", "copy")
    assert (result.returncode, result.stderr) == (
        2,
        "error: copy: no trained state of the kind mean yet\n"
        "  let the run go on until its first evaluation\n",
    )


def test_a_run_whose_recipe_is_another_file(here, copy) -> None:
    (copy / "recipe.json").write_text("{}")
    result = here("evaluate", "copy")
    assert (result.returncode, result.stderr) == (
        2,
        'error: copy/recipe.json: not a recipe that a run wrote (no "tasks")\n',
    )


def test_a_state_that_lacks_a_task(here, copy) -> None:
    shutil.rmtree(copy / "best/mean/rte")
    result = here("evaluate", "copy")
    assert (result.returncode, result.stderr) == (
        2,
        "error: copy/best/mean/rte: damaged: task rte of copy is not there\n",
    )


def test_weights_cut_by_a_byte(here, copy, tmp_path) -> None:
    file = copy / "best/mean/mnli/model.safetensors"
    whole = file.read_bytes()
    file.unlink()
    file.write_bytes(whole[:-1])
    result = here("evaluate", "copy", "--task", "mnli")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        f"error: {file}: damaged: {len(whole) - 1:,} bytes long, but its header speaks of "
        f"{len(whole):,}\n",
    )


def test_an_encoder_whose_weights_were_changed(here, copy) -> None:
    file = copy / "final/encoder/model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()
    file.write_bytes(content)
    result = here("evaluate", "copy", "--from", "final")
    assert (result.returncode, result.stdout, result.stderr) == (
        2,
        "",
        f"error: {copy.resolve()}/final/encoder: damaged: its weights are not those that "
        "config.json was written for\n",
    )


def test_a_task_that_was_trained_with_another_encoder(here, copy) -> None:
    path = copy / "best/mean/cola/task.json"
    values = json.loads(path.read_text())
    path.unlink()
    path.write_text(json.dumps({**values, "encoder_hash": "0" * 64}))
    result = here("evaluate", "copy")
    assert (result.returncode, result.stderr) == (
        2,
        "error: copy/best/mean/cola: trained with another encoder than copy/best/mean/encoder\n"
        "  the run was perhaps still writing: try again, or use --from final\n",
    )
