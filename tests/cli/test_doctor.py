"""``bertmod doctor`` tells what a machine has, and ends well on any."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bertmod.engine import precision
from bertmod.machine import advice, facts, limits, speed
from bertmod.machine.advice import advise
from bertmod.machine.facts import EXTRAS, Disk, Gpu, Machine, PluginState, Torch, read_memory
from bertmod.machine.limits import Limits, allowed_cores, read_limits, usable_cores
from bertmod.machine.report import machine_json, render_machine
from bertmod.machine.speed import Speed

ROOT = Path(__file__).parents[2]
GIB = 2**30
CPU = (Speed("cpu", "fp32", 100.0), Speed("cpu", "bf16", 210.0), Speed("cpu", "fp16", None, "no"))
MACHINE = Machine(
    bertmod="0.1.0",
    python="3.11.7",
    system="Linux",
    libraries={"torch": "2.6.0", "numpy": None},
    processor="A processor",
    cores=4,
    memory=16 * GIB,
    available=12 * GIB,
    limits=Limits(),
    torch=Torch(4, None, (), ("avx512_bf16",), {"cpu": "bf16"}, CPU),
    cache=Disk("/home/me/.cache/bertmod", 20 * GIB, True),
    plugins=(),
    extras=dict.fromkeys(EXTRAS, ()),
    environment=dict.fromkeys(facts.VARIABLES),
)
FAST = "this CPU multiplies bf16 2.1 times as fast as fp32: auto takes bf16"
NO_GPU = (
    "no GPU: a small encoder, adapters on a frozen one or short rows train well here; "
    "bertmod plan says how long a run takes"
)


@pytest.fixture(autouse=True)
def _no_driver(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(advice, "NVIDIA_DRIVER", tmp_path / "driver")


def with_torch(**changes) -> Machine:
    assert MACHINE.torch is not None
    return replace(MACHINE, torch=replace(MACHINE.torch, **changes))


def test_what_it_shows(bertmod) -> None:
    result = bertmod("doctor")
    assert (result.returncode, result.stderr) == (0, "")
    titles = [line for line in result.stdout.splitlines() if line and line[0] != " "]
    assert titles == [
        "versions",
        "processor and memory",
        "devices",
        "plugins",
        "optional extras",
        "environment",
        "advice",
    ]
    assert re.search(r"\n  OMP_NUM_THREADS +\"1\" +threads", result.stdout)
    assert re.search(r"\n  this CPU multiplies .*: auto takes (bf16|fp32)\n", result.stdout) or (
        "but auto, which goes by its instructions, takes" in result.stdout
    )


def test_as_json(bertmod) -> None:
    result = bertmod("doctor", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["torch"]["auto"]["cpu"] in ("bf16", "fp32")
    assert [each["precision"] for each in found["torch"]["speeds"]][:3] == ["fp32", "bf16", "fp16"]
    assert found["torch"]["speeds"][0]["gflops"] > 0
    assert found["cores"] >= 1
    assert found["memory"] > found["available"] > 0
    assert found["environment"]["BERTMOD_PLUGINS"] == ""
    assert found["unknown"] == []
    assert found["advice"]


def test_an_odd_machine(here, monkeypatch) -> None:
    """Where nothing can be found out, that is said, and the status is 0."""

    def broken(*words):
        raise OSError("nobody\nknows")

    for name in ("look_at_torch", "read_memory", "allowed_cores", "read_limits", "look_at_cache"):
        monkeypatch.setattr(facts, name, broken)
    monkeypatch.setattr(facts, "find_spec", broken)
    result = here("doctor")
    assert result.returncode == 0
    assert "Traceback" not in result.stdout + result.stderr
    assert "could not be found out\n  torch: OSError: nobody\n" in result.stdout
    assert "  torch does not load, so nothing can be trained: install it again" in result.stdout
    assert "cores      unknown" in result.stdout
    assert json.loads(here("doctor", "--json").stdout)["torch"] is None


def test_a_machine_as_text() -> None:
    torch = with_torch(
        cuda="12.8",
        gpus=(Gpu("cuda:0", "A GPU", 24 * GIB, 23 * GIB, "8.9"),),
        auto={"cpu": "bf16", "cuda:0": "bf16"},
        speeds=(
            *CPU,
            *(Speed("cuda:0", name, 5e4) for name in ("fp32", "bf16")),
            Speed("cuda:0", "fp16", 0.5),
        ),
    ).torch
    missing = {**MACHINE.extras, "onnx": ("onnx", "onnxruntime")}
    machine = replace(
        MACHINE,
        torch=torch,
        extras=missing,
        limits=Limits(1.5, 8 * GIB),
        plugins=(PluginState("gate", "bertmod-gate", "1.0", "failed", "ImportError: x"),),
    )
    text = render_machine(machine)
    lines = [re.sub(" {2,}", " | ", line.strip()) for line in text.splitlines()]
    start = lines.index("devices")
    assert lines[start + 1 : start + 4] == [
        "device | what | fp32 Gflop/s | bf16 Gflop/s | fp16 Gflop/s | auto",
        "cpu | instructions for 16 bits: avx512_bf16 | 100 | 210 | cannot | bf16",
        "cuda:0 | A GPU, 24.0 GiB, 23.0 GiB free, capability 8.9 | 50,000 | 50,000 | 0.5 | bf16",
    ]
    assert "  cores      4, limited to 1.5\n" in text
    assert "  memory     16.0 GiB, 12.0 GiB available, limited to 8.0 GiB\n" in text
    assert 'not installed (onnx, onnxruntime): pip install "bertmod[onnx]"' in text
    assert "  bertmod-gate 1.0  gate  failed  ImportError: x\n" in text
    assert "  numpy    not installed\n" in text
    assert json.loads(json.dumps(machine_json(machine)))["limits"]["cores"] == 1.5


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (MACHINE, [FAST, NO_GPU]),
        (
            with_torch(auto={"cpu": "fp32"}, speeds=CPU[:1]),
            ["this CPU cannot multiply in bf16: auto takes fp32", NO_GPU],
        ),
        (
            with_torch(auto={"cpu": "fp32"}, speeds=(CPU[0], Speed("cpu", "bf16", 105.0))),
            ["this CPU multiplies bf16 about as fast as fp32: auto takes fp32", NO_GPU],
        ),
        (
            with_torch(auto={"cpu": "bf16"}, speeds=(CPU[0], Speed("cpu", "bf16", 20.0))),
            [
                "this CPU multiplies fp32 5.0 times as fast as bf16, but auto, which goes by its "
                'instructions, takes bf16: try "precision": "fp32"',
                NO_GPU,
            ],
        ),
        (
            with_torch(threads=16),
            [
                FAST,
                NO_GPU,
                "16 threads would share 4 cores and wait for each other: set OMP_NUM_THREADS=4",
            ],
        ),
        (
            replace(MACHINE, limits=Limits(cores=0.5)),
            [
                FAST,
                NO_GPU,
                "4 threads would share 1 core and wait for each other: set OMP_NUM_THREADS=1",
            ],
        ),
        (
            replace(with_torch(threads=1), environment={"OMP_NUM_THREADS": "1"}),
            [FAST, NO_GPU, "torch uses 1 of 4 cores, since OMP_NUM_THREADS is 1"],
        ),
        (
            replace(with_torch(cuda="12.8"), environment={"CUDA_VISIBLE_DEVICES": ""}),
            [FAST, 'no GPU is seen, and CUDA_VISIBLE_DEVICES is "": unset it to see all'],
        ),
        (
            replace(MACHINE, limits=Limits(memory=GIB)),
            [
                FAST,
                NO_GPU,
                "1.0 GiB of memory are too few to train all of BERT-base (1.6 GiB and its "
                "activations): freeze the encoder, or take a smaller one",
            ],
        ),
        (
            replace(MACHINE, cache=Disk("/x", GIB // 2, True)),
            [
                FAST,
                NO_GPU,
                "512 MiB are free for the cache /x: make room, or set XDG_CACHE_HOME to a folder "
                "on another disk",
            ],
        ),
        (
            replace(MACHINE, cache=Disk("/x", GIB, False)),
            [
                FAST,
                NO_GPU,
                "the cache /x cannot be written: set XDG_CACHE_HOME to another folder",
            ],
        ),
        (
            replace(MACHINE, environment={"HF_HUB_OFFLINE": "1", "BERTMOD_PLUGINS": ""}),
            [
                FAST,
                NO_GPU,
                "HF_HUB_OFFLINE is set: names on the hub are looked up in its cache alone",
                "BERTMOD_PLUGINS is set: of the plugins that are installed it loads none",
            ],
        ),
    ],
)
def test_advice(machine, said) -> None:
    assert advise(machine) == said


def test_advice_on_drivers_and_several_gpus(tmp_path) -> None:
    (tmp_path / "driver").touch()
    built_without = (
        "there is an NVIDIA driver, but torch was built without CUDA: install one with it"
    )
    assert built_without in advise(MACHINE)
    too_old = "torch, built for CUDA 12.8, sees no GPU: is the driver too old?"
    assert too_old in advise(with_torch(cuda="12.8"))
    gpu = Gpu("cuda:0", "A GPU", GIB, GIB, "9.0")
    two = with_torch(gpus=(gpu, gpu))
    assert "2 GPUs: a run takes one; bertmod run --nproc 2 shares it among them" in advise(two)


def test_a_plugin_that_failed() -> None:
    plugin = PluginState("gate", "bertmod-gate", "1.0", "failed", "ImportError: x")
    said = advise(replace(MACHINE, plugins=(plugin,)))
    assert "plugin bertmod-gate 1.0 did not load: ImportError: x" in said


def test_a_precision_that_a_device_lacks(monkeypatch) -> None:
    import torch

    real = speed._product

    def product(device, precision_, rows):
        if precision_ == "bf16":
            raise RuntimeError("not implemented for 'BFloat16'\nmore")
        return real(device, precision_, rows)

    monkeypatch.setattr(speed, "_product", product)
    found = {each.precision: each for each in speed.measure_speeds(torch.device("cpu"))}
    assert found["bf16"] == Speed("cpu", "bf16", None, "not implemented for 'BFloat16'")
    assert found["fp32"].gflops


def files(root: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_limits_of_control_groups(tmp_path) -> None:
    """Version 2: the least of a group and those above it; version 1: a folder per controller."""
    second = files(
        tmp_path / "2",
        {
            "proc/self/cgroup": "0::/jobs/mine\n",
            "sys/fs/cgroup/jobs/mine/cpu.max": "max 100000\n",
            "sys/fs/cgroup/jobs/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/jobs/mine/memory.max": "1073741824\n",
            "sys/fs/cgroup/jobs/memory.max": "max\n",
        },
    )
    assert read_limits(second) == Limits(1.5, GIB)
    first = files(
        tmp_path / "1",
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "2147483648\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert read_limits(first) == Limits(2.0, 2 * GIB)
    free = files(
        tmp_path / "0",
        {
            "proc/self/cgroup": "4:memory:/\n1:cpu:/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    )
    assert read_limits(free) == read_limits(tmp_path / "none") == Limits(None, None)


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 8), ("250000 100000", 3), ("20000 100000", 1)]
)
def test_cores_that_a_container_leaves(monkeypatch, tmp_path, quota, cores) -> None:
    """As many processes as ``--nproc`` may start, and threads for each."""
    monkeypatch.setattr(limits, "allowed_cores", lambda: 8)
    group = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota}\n"}
    assert usable_cores(files(tmp_path, group)) == cores
    assert allowed_cores() >= 1


def test_memory(tmp_path) -> None:
    listing = "MemTotal:  1024 kB\nMemAvailable: 512 kB\nHugePages_Total: 0\n"
    assert read_memory(files(tmp_path, {"proc/meminfo": listing})) == (2**20, 2**19)
    total, available = read_memory(tmp_path / "elsewhere")
    assert total > GIB // 4
    assert available is None


def test_every_extra_is_known() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert EXTRAS.keys() == extras.keys() - {"dev", "docs"}
    for name, (_, modules) in EXTRAS.items():
        stated = {re.split(r"[>=;\[]", each)[0].strip() for each in extras[name]}
        named = {each.replace("-", "_").removesuffix("_cpu") for each in stated}
        assert set(modules) == named


def test_auto_is_the_engine_s_own() -> None:
    import torch

    found = facts.look_at_torch()
    assert found.auto["cpu"] == precision.resolve_precision("auto", torch.device("cpu"))
