"""``bertmod export``: what is written, what it gives, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertmod.inference import ExportPlan, export_run, load_run
from bertmod.library import installed
from bertmod.model.card import code

PASSAGE = "The cat sat on the mat. A dog slept under the old table, and it rained all day."
ANSWERS = (("Where did the cat sit?", "on the mat", 12), ("What did the dog do?", "slept", 30))
SENTENCES = "Ada B-PER\nlived O\nin O\nLondon B-LOC\n. O\n\nIt O\nrained O\n. O\n"

ODD = """
from bertmod import EmptyConfig, HeadOutput, HeadSpec, hookimpl

BERTMOD_CONTRACT = 1


def build(config, context):
    import torch

    class Odd(torch.nn.Module):
        layout = "any"
        want = frozenset({"pooled"})

        def __init__(self):
            super().__init__()
            self.info = context.info
            self.classifier = torch.nn.Linear(context.shape.hidden_size, len(context.info.labels))
            context.init(self)

        def num_targets(self, targets, lengths):
            return {"odd": float(len(targets["labels"]))} if "labels" in targets else {}

        def forward(self, output, batch):
            logits = self.classifier(output.pooled_RH)
            if logits.sum().item() > 1e9:  # a branch on values
                logits = -logits
            if "labels" not in batch.targets:
                return HeadOutput({"logits": logits}, {})
            loss = torch.nn.functional.cross_entropy(
                logits, batch.targets["labels"].long(), reduction="sum"
            )
            return HeadOutput({"logits": logits}, {"odd": (loss, 1.0)})

        def decode(self, output, batch):
            rows = output.logits["logits"].detach().softmax(-1).numpy()
            return [{"probabilities": row} for row in rows]

    return Odd()


@hookimpl
def bertmod_heads():
    yield HeadSpec(
        name="odd",
        config=EmptyConfig,
        build=build,
        want=lambda config: frozenset({"pooled"}),
        targets=lambda config: {"labels": "class"},
        num_parameters=lambda config, shape, labels: (shape.hidden_size + 1) * labels,
        summary="A head that branches on what it computes.",
    )
"""

ZEROS = """
from pathlib import Path

import numpy as np

from bertmod import ComponentConfig, Exported, ExporterSpec, hookimpl

BERTMOD_CONTRACT = 1


class Config(ComponentConfig):
    pass


def export(config, context, folder):
    import torch

    (folder / "zeros.txt").write_text(" ".join(context.outputs))

    def run(inputs, outputs):
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        with torch.no_grad():
            found = context.module(**tensors)
        return {name: np.zeros_like(found[name].numpy()) for name in outputs}

    return Exported(run, ("nothing but zeros",))


def export_elsewhere(config, context, folder):
    import nowhere_to_be_found


@hookimpl
def bertmod_exporters():
    for exact in (True, False):
        yield ExporterSpec(
            name="zeros" if exact else "rough_zeros",
            config=Config,
            export=export,
            exact=exact,
            summary="Zeros in place of the model.",
        )
    yield ExporterSpec(
        name="elsewhere", config=Config, export=export_elsewhere, summary="It needs a library."
    )
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """A data folder with little of a task of each kind."""
    folder = tmp_path_factory.mktemp("export") / "data"
    for name in ("SQuAD", "CoNLL2003", "CoLA", "STS-B"):
        (folder / name).mkdir(parents=True)
    for split in ("train", "dev"):
        for name in ("CoLA", "STS-B"):
            lines = (sample / name / f"{split}.tsv").read_text().splitlines(keepends=True)
            (folder / name / f"{split}.tsv").write_text("".join(lines[:40]))
        (folder / f"CoNLL2003/{split}.txt").write_text(SENTENCES)
        qas = [
            {"id": f"q{n}", "question": q, "answers": [{"text": a, "answer_start": s}]}
            for n, (q, a, s) in enumerate(ANSWERS)
        ]
        file = {"data": [{"title": "x", "paragraphs": [{"context": PASSAGE, "qas": qas}]}]}
        (folder / f"SQuAD/{split}-v1.1.json").write_text(json.dumps({"version": "1.1", **file}))
    return folder


@pytest.fixture(scope="module")
def run(data: Path, env: Mapping[str, str], tiny: Mapping[str, Any]) -> Path:
    """The folder of one tiny run on these tasks, two of them with PALs; nobody writes into it."""
    tasks = [{"name": name} for name in ("cola", "stsb", "squad", "conll")]
    tasks[2] |= {"max_query_length": 16, "doc_stride": 8}
    pals = [{**tiny["adapters"][0], "tasks": ["cola", "squad"]}]
    recipe = {**tiny, "tasks": tasks, "adapters": pals}
    (data.parent / "four.json").write_text(json.dumps(recipe))
    words = ["run", "four.json", "--data", "data", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "bertmod", *words],
        cwd=data.parent,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return data.parent / "runs/four"


def readme_s_program(folder: Path) -> str:
    """What the program in the README beside exported files prints, where there is no bertmod."""
    (program,) = re.findall("```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['bertmod'] = None\n" + program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_onnx_gives_the_run_s_own_answers(here, run: Path, tmp_path: Path) -> None:
    """The files alone, as somebody without bertmod uses them."""
    result = here("export", run, "out", "--to", "onnx")
    assert (result.returncode, result.stderr) == (0, "")
    first, size, apart = result.stdout.splitlines()
    assert first == "out: cola, stsb, squad, conll, rows of up to 32 tokens"
    assert size.startswith("  model.onnx: 0.8 MB, fp32, opset 20")
    assert float(apart.removeprefix("  logits differ from the model's by up to ")) < 1e-6

    about = json.loads((tmp_path / "out/export.json").read_text())
    assert about["files"] == ["model.onnx"]
    assert [each["name"] for each in about["outputs"]] == [
        "cola.logits",
        "stsb.logits",
        "squad.start_logits",
        "squad.end_logits",
        "conll.logits",
    ]
    assert about["tasks"]["cola"]["labels"] == ["0", "1"]
    assert about["tasks"]["conll"]["labels"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert about["tasks"]["stsb"]["value_range"] == [0.0, 5.0]
    assert about["outputs"][4]["shape"] == ["batch", "length", 5]

    trained = load_run(run, device="cpu")
    example = trained.task("cola").task.example({"text": "A text."})
    (answer,) = trained.predict("cola", [example])
    logits = eval(readme_s_program(tmp_path / "out"), {"np": np})
    assert list(logits) == about["tasks"]["cola"]["labels"]
    shares = np.exp(list(logits.values())) / np.exp(list(logits.values())).sum()
    found = dict(zip(logits, shares.tolist(), strict=True))
    assert found == pytest.approx(answer["probabilities"], abs=1e-5)


def test_torch_export_of_one_task(here, run: Path, tmp_path: Path) -> None:
    import torch

    result = here("export", run, "out", "--to", "torch_export", "--task", "squad")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("out: squad, rows of up to 32 tokens\n  model.pt2: ")
    model = torch.export.load(tmp_path / "out/model.pt2").module()
    ones = torch.ones(2, 11, dtype=torch.int64)
    outputs = model(input_ids=ones, attention_mask=ones, token_type_ids=0 * ones)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "start_logits": (2, 11),
        "end_logits": (2, 11),
    }
    assert readme_s_program(tmp_path / "out").startswith("{'start_logits': array([[")


@pytest.mark.slow
def test_eight_bits_are_scored(here, run: Path, tmp_path: Path) -> None:
    result = here("export", run, "out", "--to", "int8", "--task", "cola", "--task", "conll")
    assert result.returncode == 0, result.stderr
    first, size, apart, *table = result.stdout.splitlines()
    assert first == "out: cola, conll, rows of up to 32 tokens"
    assert "weights in 8 bits; in fp32 " in size
    assert 1e-6 < float(apart.split()[-1]) < 0.1
    assert table[0].split() == ["task", "split", "metric", "fp32", "int8", "change"]
    rows = {tuple(line.split()[:3]): line.split()[3:] for line in table[1:]}
    assert ("cola", "dev", "matthews") in rows
    trained = load_run(run, device="cpu")
    for task in ("cola", "conll"):
        for name, score in trained.evaluate(task).items():
            before, after, change = map(float, rows[(task, *name.split("/"))])
            assert before == pytest.approx(score, abs=6e-5)
            assert after - before == pytest.approx(change, abs=2e-4)
    card = (tmp_path / "out/README.md").read_text()
    assert "| task | split | metric | fp32 | int8 | change |" in card
    assert "| cola | dev | matthews | " in card
    assert "CoLA/train.tsv" in card


def test_from_python_on_other_data(run: Path, data: Path, tmp_path: Path) -> None:
    """An exact exporter is scored where rows are named, and tells how far it is."""
    elsewhere = Path(shutil.copytree(data, tmp_path / "elsewhere"))
    exporter: Any = installed().get("exporter", "torch_export")
    plan = ExportPlan(exporter, exporter.spec.config(), tasks=("conll",), data=str(elsewhere))
    told: list[tuple[str, int]] = []

    @contextmanager
    def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
        told.append((what, total))
        yield lambda rows: told.append(("done", rows))

    export = export_run(run, str(tmp_path / "out"), plan, progress=progress)
    assert told == [("conll dev", 2), ("done", 2)] * 2
    assert {(each.task, each.split, each.after - each.before) for each in export.scores} == {
        ("conll", "dev", 0.0)
    }
    card = (tmp_path / "out/README.md").read_text()
    assert f"Scores of the dev rows of another data folder, {code(str(elsewhere))}:" in card
    labels = eval(readme_s_program(tmp_path / "out"), {"np": np})
    assert list(labels) == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]


def test_what_is_refused_before_anything_is_made(refused, run: Path, tmp_path: Path) -> None:
    (tmp_path / "there/more").mkdir(parents=True)
    refused(
        "error: there: exists already; name another folder\n",
        *("export", run, "there", "--to", "onnx"),
    )
    refused(
        'error: no task "colla" in this run\n  it has: cola, stsb, squad, conll\n',
        *("export", run, "out", "--to", "onnx", "--task", "colla"),
    )
    refused(
        'error: no exporter called "onx", did you mean "onnx"?\n'
        "    available: int8, onnx, torch_export\n",
        *("export", run, "out", "--to", "onx"),
    )
    refused(
        "error: --data and --no-check: rows are scored by running what was written\n",
        *("export", run, "out", "--to", "onnx", "--data", "x", "--no-check"),
    )
    refused(
        "error: away/out: there is no folder away\n",
        *("export", run, "away/out", "--to", "onnx"),
    )
    refused(
        'error: there/CoLA/dev.tsv: no such file, task "cola" needs it\n  there holds: more\n',
        *("export", run, "out", "--to", "int8", "--task", "cola", "--data", "there"),
    )


def test_options_are_validated(refused, run: Path) -> None:
    refused(
        "--to onnx: 2 problems\n"
        "  opset (--set)\n"
        "      expected an integer, at least 18, at most 23, not 12\n"
        "      Version of ONNX's operators, 18 to 23; an older runtime may need a lower one.\n"
        "  opsett (--set)\n"
        '      unknown option, did you mean "opset"?\n'
        '      exporter "onnx" (bertmod 0.1.0) takes: opset\n',
        *("export", run, "out", "--to", "onnx", "--set", "opset=12", "--set", "opsett=18"),
    )


def test_checkpoints_are_another_command_s(here, run: Path) -> None:
    result = here("export", run, "out", "--to", "huggingface")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "error: --to huggingface: a checkpoint, which another command writes\n"
        "  bertmod convert RUN OUT --to huggingface\n"
        "  exporters: int8, onnx, torch_export\n"
    )


def test_a_library_that_is_missing(refused, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bertmod.builtin.exporters import plugin

    found = plugin.find_spec
    monkeypatch.setattr(
        plugin, "find_spec", lambda name: None if name == "onnxscript" else found(name)
    )
    refused(
        'error: --to int8: not installed: onnxscript\n  pip install "bertmod[onnx]"\n',
        *("export", run, "out", "--to", "int8"),
    )


def test_a_full_disk(bertmod, run: Path, tmp_path: Path) -> None:
    """torch's own writer would kill the process."""
    words = ("export", run, "out", "--to", "torch_export", "--task", "stsb")
    result = bertmod(*words, largest_file=100_000)
    last = result.stderr.splitlines()[-1]  # a library may complain of its cache before
    assert (result.returncode, last) == (2, "error: out: cannot be written: File too large")
    assert list(tmp_path.iterdir()) == []


def test_tasks_of_different_encoders(refused, run: Path, tmp_path: Path) -> None:
    """Each task's best state may have an encoder of its own; an export has one."""
    shutil.copytree(run, tmp_path / "run")
    best, other = tmp_path / "run/best", "0" * 64
    (first,) = (best / "encoders").iterdir()
    shutil.copytree(first, best / "encoders" / other)
    for file in (best / f"encoders/{other}/config.json", best / "tasks/stsb/task.json"):
        file.write_text(file.read_text().replace(first.name, other))
    refused(
        "error: cola, squad, conll and stsb were kept with different encoders, and an export has "
        "one\n  export them apart with --task, or take --from mean or --from final\n",
        *("export", "run", "out", "--to", "onnx", "--from", "best"),
    )


@pytest.mark.slow
def test_a_head_that_cannot_be_traced(
    bertmod, install: Callable[[str, str], str], env, cola: Path, recipe, tmp_path: Path
) -> None:
    """The task and the cause are named, and nothing is left."""
    path = install("odd", ODD)
    mine = {**env, "PYTHONPATH": path, "BERTMOD_PLUGINS": "odd"}
    tasks = [{"name": "cola", "id": "good"}, {"name": "cola", "id": "bad", "head": {"name": "odd"}}]
    words = ("run", recipe(tasks=tasks), "--data", cola, "--output", "run", "--quiet")
    assert bertmod(*words, env=mine).returncode == 0
    export = ("export", "run", "out", "--to", "torch_export")
    result = bertmod(*export, env=mine)
    first, cause, *more = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (2, "")
    assert first == (
        "error: task bad (adapter bertmod/pals, head bertmod-odd/odd) cannot be exported to "
        "torch_export"
    )
    assert cause.startswith("  GuardOnDataDependentSymNode: Could not ")
    assert more == [
        "  what is exported is made of torch's operations on tensors, without a branch on "
        "their values or sizes",
        "  export the other tasks: name them with --task",
    ]
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]
    assert bertmod(*export, "--task", "good", env=mine).stderr == ""


def test_somebody_else_s_exporter(
    bertmod, install: Callable[[str, str], str], env, run: Path, tmp_path: Path
) -> None:
    """By the hook alone; it is checked like any other."""
    mine = {**env, "PYTHONPATH": install("zeros", ZEROS), "BERTMOD_PLUGINS": "zeros"}
    result = bertmod("export", run, "out", "--to", "zeros", env=mine)
    assert (result.returncode, result.stdout) == (2, "")
    first, second = result.stderr.splitlines()
    assert first.startswith("error: what zeros wrote is not the model: logits differ by up to ")
    assert first.endswith(", and 0.0001 is accepted")
    assert second == "  nothing is kept"
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]
    result = bertmod("export", run, "out", "--to", "rough_zeros", "--task", "stsb", env=mine)
    assert result.returncode == 0, result.stderr
    assert "\n  nothing but zeros\n" in result.stdout
    assert result.stdout.splitlines()[3].split()[3:] == ["fp32", "rough_zeros", "change"]
    assert (tmp_path / "out/zeros.txt").read_text() == "logits"
    result = bertmod("export", run, "more", "--to", "elsewhere", env=mine)
    told = "error: elsewhere cannot be used: ModuleNotFoundError: No module named "
    assert (result.returncode, result.stderr) == (2, f"{told}'nowhere_to_be_found'\n")
    unchecked = bertmod("export", run, "bare", "--to", "zeros", "--no-check", env=mine)
    assert (unchecked.returncode, unchecked.stderr) == (0, "")
    assert "differ" not in unchecked.stdout


def test_answers_of_exported_files(here, run: Path, tmp_path: Path) -> None:
    words = ("export", run, "int8", "--to", "int8", "--task", "cola", "--task", "stsb")
    assert here(*words).returncode == 0
    stated = ("--export", "int8")
    found = here("evaluate", run, *stated, "--task", "cola", "--output", "scores.json")
    told = re.search(r"int8: cola dev/matthews: (-?[\d.]+) \([-+][\d.]+ against", found.stderr)
    assert told is not None, found.stderr
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert f"{scores['cola/dev/matthews']:.4f}" == told[1]
    text = ("predict", run, "--task", "cola", "--text", "The cat sat.")
    own, other = (json.loads(here(*text, *more).stdout) for more in ((), stated))
    assert own["probabilities"] != other["probabilities"]
    assert own["probabilities"] == pytest.approx(other["probabilities"], abs=0.05)
    (tmp_path / "texts.jsonl").write_text('{"text": "A cat.", "text_pair": "A dog."}\n')
    rows = ("predict", run, "--task", "stsb", "--input", "texts.jsonl", *stated)
    assert here(*rows).stdout.startswith("index\tprediction\n0\t")


def test_exported_files_that_do_not_answer_a_run(here, run: Path, tmp_path: Path) -> None:
    words = ("export", run, "out", "--to", "torch_export", "--task", "cola", "--no-check")
    assert here(*words).returncode == 0
    text = ("predict", run, "--task", "cola", "--text", "The cat sat.", "--export")
    assert "does not say how its files are run again" in here(*text, "out").stderr
    assert "not a folder that bertmod export wrote" in here(*text, ".").stderr
    values = json.loads((tmp_path / "out/export.json").read_text())
    values["exporter"]["name"] = "bertmod/onnx"
    (tmp_path / "out/export.json").write_text(json.dumps(values))
    result = here(*text, "out")
    assert result.returncode == 2
    assert "bertmod/onnx cannot run it: " in result.stderr
    cuda = here(*text, "out", "--device", "cuda")
    assert "--device cuda and --export: exported files are run on the CPU" in cuda.stderr
