"""The benchmark of speed: who takes turns on which rows, and the page; no peer is needed."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from benchmarks import workers
from benchmarks.__main__ import app
from benchmarks.contenders import RunFailed
from benchmarks.series import BUSY
from benchmarks.speed import infer, targets, train
from benchmarks.speed.contest import Contender, Group, Ratio, Setting, Staff, hold, hold_all
from benchmarks.speed.measure import MEASURES, Asked, measure
from benchmarks.speed.page import page, ratio, share
from benchmarks.speed.pairs import Pair, drawn, lengthened, slot, write_table, write_tokens
from benchmarks.speed.shapes import WIDTHS, operations
from benchmarks.speed_command import NUM_TASKS, SHAPES, SUITES
from benchmarks.workers import Unable, take_turns

STEPS = 8


@pytest.fixture
def work(tmp_path: Path, weights: str, pairs: list[Pair]) -> train.Load:
    """Eight steps of two rows."""
    table = write_table(pairs, tmp_path / "pairs.jsonl")
    lengths = write_tokens(table, weights, tmp_path / "rows.json")
    settings = train.FineTuning(batch_size=2)
    return train.Load("tiny", weights, tmp_path, STEPS, settings, lengths)


def setting(folder: Path, **more: Any) -> Setting:
    nowhere = {peer: folder / peer for peer in ("transformers", "adapters", "peft", "onnxruntime")}
    return Setting(folder / "work", 1, 1, nowhere, say=lambda _: None, **more)


def test_turns_are_reversed_every_other_round() -> None:
    order = []
    told = take_turns(
        {name: lambda name=name: {"seconds": len(order)} for name in "ab"},
        rounds=2,
        tell=lambda name, number, _: order.append((number, name)),
    )
    assert order == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]
    assert told == {"a": [{"seconds": 3}, {"seconds": 4}], "b": [{"seconds": 2}, {"seconds": 5}]}


def test_the_suite_of_training(tmp_path: Path, mrpc_folder: Path, weights: str) -> None:
    variants = {"other": ("training.abacus=true",)}
    asked = Asked("train", "tiny", mrpc_folder, weights, steps=STEPS, variants=variants)
    chosen = frozenset({"bertmod fp32", "other", "transformers bf16"})
    output = tmp_path / "speed.json"
    shown = measure(asked, setting(tmp_path, chosen=chosen), output)
    assert output.with_suffix(".md").read_text(encoding="utf-8") == shown
    (found,) = json.loads(output.read_text(encoding="utf-8"))["groups"]
    (contender,) = found["contenders"]
    assert (contender["name"], contender["precision"]) == ("bertmod fp32", "fp32")
    (told,) = found["measured"]["bertmod fp32"]
    assert (told["rows"], told["tokens"]) == (STEPS * 32, STEPS * 32 * 8)
    assert all(rate > 0 for rates in found["rates"].values() for rate in rates)
    assert "training.abacus" in found["missing"]["other"]
    assert "python -m benchmarks environment" in found["missing"]["transformers bf16"]
    assert "- not measured: transformers bf16: " in shown
    assert f"8 batches of 32 rows of MRPC, {STEPS * 32 * 8:,} tokens" in shown


def test_other_work_is_refused(tmp_path: Path) -> None:
    contender = Contender("a", "rates", 1.0, "bf16", expected={"rate": 1})
    with pytest.raises(RunFailed, match=r"a: a round of .* rate, the others' are 1"):
        hold(Group("", {"rates": Staff("matrix_rate", {})}, [contender]), setting(tmp_path))


def test_pals_of_every_task_train_on_all_rows(work: train.Load, pairs: list[Pair]) -> None:
    group = train._pals(work, pairs, "AMX")
    found = hold(group, setting(work.folder))
    assert not found["missing"]
    own, padded = (found["measured"][each.name][0] for each in group.contenders)
    assert own["rows"] == padded["rows"] == len(pairs)
    assert own["tokens"] == work.lengths.sum()
    assert padded["tokens"] == 128 * len(pairs)
    assert ratio(found, *(each.name for each in group.contenders)) == pytest.approx(
        padded["seconds"] / own["seconds"]
    )


def test_where_there_is_a_gpu_full_rows_are_trained_on_too(
    work: train.Load, pairs: list[Pair]
) -> None:
    """The group runs on a CPU as well, but for the peer; its target is BERT-base's."""
    titles = {
        kind: [each.title for each in train.groups(work, pairs, kind=kind, variants={})]
        for kind in ("AMX", "GPU")
    }
    assert [title for title in titles["GPU"] if title not in titles["AMX"]] == [
        "Rows of 128 tokens"
    ]
    base = train._full_rows(replace(work, shape="base"), pairs, "GPU")
    assert [each.target for each in base.ratios] == [2.0]
    found = hold(train._full_rows(work, pairs, "GPU"), setting(work.folder))
    (told,) = found["measured"]["bertmod 128"]
    assert (told["rows"], told["tokens"]) == (len(pairs), 128 * len(pairs))
    assert list(found["missing"]) == ["transformers bf16 128"]


@pytest.mark.parametrize(
    ("peer", "given", "told"),
    [
        (False, {}, (True, "3000")),
        (False, {"GOMP_SPINCOUNT": "7"}, (True, "7")),
        (True, {}, (False, None)),
    ],
)
def test_peers_have_an_environment_of_their_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    peer: bool,
    given: dict[str, str],
    told: tuple[bool, str | None],
) -> None:
    """Only bertmod's workers see the checkout, and have threads that wait as the program's."""
    for name in ("PYTHONPATH", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(workers, "PROGRAMS", tmp_path)
    program = "import json, os; print(json.dumps(dict(os.environ)))"
    (tmp_path / "tell.py").write_text(program, encoding="utf-8")
    own = Path(sys.executable)
    with workers.Worker("tell", {}, python=own, folder=tmp_path, name="w", peer=peer) as worker:
        seen = worker.about
    assert ("PYTHONPATH" in seen, seen.get("GOMP_SPINCOUNT")) == told


def test_a_worker_that_ends_is_told(tmp_path: Path) -> None:
    staff = {"commands": Staff("bertmod_starts", {"commands": {}, "folder": str(tmp_path)})}
    group = Group("", staff, [Contender("a", "commands", 1.0, "abacus")])
    with pytest.raises(RunFailed, match="KeyError: 'abacus'"):
        hold(group, setting(tmp_path))


def test_an_unknown_contender(work: train.Load) -> None:
    group = Group("", {"a": work.own()}, [Contender("a", "a", 1.0)])
    with pytest.raises(Unable, match='no contender "b"; there is: a'):
        hold_all([group], setting(work.folder, chosen=frozenset({"b"})))


@pytest.mark.parametrize("grouped", [False, True])
def test_the_peer_has_every_row_once(
    work: train.Load, load_program: Callable[[str], ModuleType], grouped: bool
) -> None:
    steps = load_program("transformers_steps")
    rows = steps.read_rows(work.folder / "rows.json")
    lengths = np.array([len(row["input_ids"]) for row in rows])
    assert lengths.tolist() == work.lengths.tolist()
    draw = np.random.default_rng(0)
    found = steps.batches(len(rows), 2, lengths=lengths if grouped else None, draw=draw)
    assert sorted(number for batch in found for number in batch) == list(range(len(rows)))
    padding = sum(np.ptp(lengths[batch]) for batch in found)
    assert bool(padding <= np.ptp(lengths)) is grouped
    batch = steps.padded([rows[number] for number in found[0]], 20)
    assert batch["input_ids"].shape == (2, 20)
    assert batch["attention_mask"].sum(1).tolist() == lengths[found[0]].tolist()


def test_rows_are_drawn_and_lengthened(tmp_path: Path, weights: str, pairs: list[Pair]) -> None:
    assert Counter(drawn(pairs, 2 * len(pairs))) == Counter(2 * pairs)
    table = write_table(lengthened(pairs, 128), tmp_path / "long.jsonl")
    lengths = write_tokens(table, weights, tmp_path / "rows.json")
    assert lengths.tolist() == [128] * len(pairs)
    assert slot(table)["train"] == str(table)


def test_operations_of_rows() -> None:
    lengths = np.array([3, 5])
    hidden, layers, _ = WIDTHS["base"]
    weights = 4 * hidden**2 + 2 * hidden * 4 * hidden
    forward = layers * (2 * weights * 8 + 2 * 2 * hidden * (9 + 25))
    assert operations(lengths, "base", encoder_passes=1) == forward
    assert operations(lengths, "base", encoder_passes=3) == 3 * forward
    frozen = operations(lengths, "base", encoder_passes=2, added_weights=7)
    assert frozen - operations(lengths, "base", encoder_passes=2) == layers * 6 * 7 * 8
    # Behind the last layer's keys and values two first tokens are left of eight.
    rest = 2 * (weights - 2 * hidden**2) * (8 - 2) + 2 * 2 * hidden * (9 + 25 - 8)
    trimmed = operations(lengths, "base", encoder_passes=1, trimmed=True)
    assert trimmed == forward - rest


def group() -> dict[str, Any]:
    """What was measured of three contenders, one of which was missing."""
    each = {"worker": "w", "way": "", "units": 100.0, "expected": {}}
    return {
        "title": "All",
        "contenders": [
            {**each, "name": "own", "precision": "bf16", "operations": 6e9},
            {**each, "name": "peer", "precision": "fp32", "operations": 6e9},
        ],
        "ratios": [
            vars(Ratio("fast", "own", "peer", 2.5)),
            vars(Ratio("faster", "own", "gone", 9.0)),
        ],
        "shares": {"own": 0.75},
        "missing": {"gone": "no environment\n  make it"},
        "measured": {
            "own": [{"seconds": 1.0}, {"seconds": 3.0}],
            "peer": [
                {"seconds": 4.0, "computed": 30, "tokens": 20},
                {"seconds": 6.0, "computed": 30, "tokens": 20},
            ],
        },
        "rates": {"bf16": [6e9, 6e9], "fp32": [2e9, 2e9]},
        "workers": {"w": {"versions": {"abacus": "1"}}},
    }


def test_the_page() -> None:
    values = {
        "title": "Speed",
        "unit": "real tokens",
        "rounds": 2,
        "busy": True,
        "kind": "AMX",
        "machine": {"cpu": "Z80"},
        "versions": {"bertmod": {"torch": "9"}},
        "facts": {},
        "notes": ["A note."],
        "command": "python -m benchmarks run",
        "groups": [group()],
    }
    lines = page(json.loads(json.dumps(values))).splitlines()
    assert "| own | bf16 | 2.000 | 67 |  | 50% | 75% |" in lines
    assert "| peer | fp32 | 5.000 | 21 | 1.50 | 60% |  |" in lines
    assert "| fast | own | peer | **3.00** | 2.5 | 6.00 |" in lines
    assert not any(line.startswith("| faster") for line in lines)
    assert "- not measured: gone: no environment make it" in lines
    assert "- rate of a large bf16 matrix product: 6 GFLOP/s" in lines
    assert "- machine: cpu Z80; targets are those of AMX machines" in lines
    assert {"- w: abacus 1", "A note.", BUSY, "- bertmod: torch 9"} <= set(lines)


def test_shares_and_ratios_of_rounds() -> None:
    found = group()
    assert ratio(found, "own", "gone") is None
    assert share(found, {**found["contenders"][0], "precision": "int8"}) is None
    assert share(found, {**found["contenders"][0], "operations": 0.0}) is None


def test_targets_are_those_of_the_machine_and_the_shape() -> None:
    assert targets.training("AVX-512 BF16", "minilm", "bf16") == 2.5
    assert targets.training("AMX", "base", "pals") == 10
    assert targets.training("none", "base", "pals") is None
    assert targets.training("AMX", "large", "share") is None


def test_answers_that_differ(tmp_path: Path, load_program: Callable[[str], ModuleType]) -> None:
    assert infer.differing(tmp_path) == {}
    tables = load_program("tables_of_pairs")
    tables.write_answers(tmp_path / "bertmod-auto.tsv", ["0", "1", "1"])
    tables.write_answers(tmp_path / "peer.tsv", ["0", "0", "0"])
    (tmp_path / "pairs.tsv").write_text("text\ttext_pair\nb\tc\n")
    assert infer.differing(tmp_path) == {"peer": "2"}
    assert tables.read_table(tmp_path / "pairs.tsv") == [("b", "c")]
    found = tables.sorted_batches(list(range(40)))
    assert [len(batch) for batch in found] == [32, 8]
    assert found[0][0] == 39


def test_the_command_knows_what_is_measured() -> None:
    assert tuple(MEASURES) == SUITES
    assert tuple(name for name in WIDTHS if name != "tiny") == SHAPES
    assert train.NUM_TASKS == NUM_TASKS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--suite", "sums"], 'no suite "sums"'),
        (["--suite", "train", "--shape", "tiny"], 'no shape "tiny"'),
        (["--suite", "train", "--steps", "9"], "multiple of 8"),
        (["--suite", "train", "--environment", "abacus=x"], '"abacus=x": PEER=DIR'),
        (["--suite", "train", "--variant", "plain"], '"plain": NAME:PATH=JSON'),
        (["--suite", "train", "--output", str(Path.cwd())], "is a directory"),
    ],
)
def test_what_is_refused(words: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["run", *words], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert message in done.output


def test_bare_steps_make_the_products_of_a_step(
    tmp_path: Path, weights: str, load_program: Callable[[str], ModuleType]
) -> None:
    """Those of the rows, of padding up to 64 tokens and 8 a row, and of the pooler and the head."""
    bare = load_program("bare_steps")
    rows = [Pair("a b c d", "e f g", str(number % 2)) for number in range(16)]
    table = write_table(rows, tmp_path / "pairs.jsonl")
    lengths = write_tokens(table, weights, tmp_path / "rows.json")
    settings = train.FineTuning(batch_size=16)
    work = train.Load("tiny", weights, tmp_path, 1, settings, lengths)
    _, one_round = bare.start({**work.bare().settings, "threads": 1, "device": "cpu"})
    with FlopCounterMode(display=False) as made:
        told = one_round("")
    assert (told["rows"], told["tokens"]) == (16, lengths.sum())
    hidden, layers, _ = WIDTHS["tiny"]
    stored = np.full(16, 16)  # 10 tokens each: 160 are 192 packed, and 16 padded for attention
    whole = operations(stored, "tiny", encoder_passes=3, trimmed=True)
    of_padding = 3 * 2 * hidden**2 * (12 * (layers - 1) + 2) * (256 - 192)
    of_head = 3 * 2 * 16 * (hidden**2 + 2 * hidden)
    assert made.get_total_flops() == whole - of_padding + of_head


def test_bare_steps_take_turns(work: train.Load) -> None:
    group = train.groups(work, [], kind="AMX", variants={})[0]
    found = hold(group, setting(work.folder, chosen=frozenset({train.BARE})))
    assert not found["missing"]
    (contender,) = found["contenders"]
    assert contender["precision"] in ("bf16", "fp32")
