"""What an exporter promises."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from bertmod.contracts.exporter import Exported
from bertmod.library import build_adapter, build_encoder, build_head
from bertmod.model.multitask import MultiTaskModel
from bertmod.model.padded import PaddedModel
from bertmod.testing.subject import HOST, Subject, require
from bertmod.wording import listed

TOLERANCE = 1e-4
"""Largest difference of a logit that rounding may make."""

TASKS = ("small", "tagged", "found")
"""Tasks that the exported model has: with an adapter of its own, and two that share a pass."""

SIZES = ((1, 5), (2, 2), (5, 17))
"""Rows and length of the batches; none is the example's."""


def model() -> PaddedModel:
    """A model of three tasks, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = build_encoder("bertmod/bert", **HOST)
        heads = {
            "small": build_head(encoder, "small", "bertmod/classification", labels=("no", "yes")),
            "tagged": build_head(
                encoder, "tagged", "bertmod/token_classification", labels=("a", "b", "c")
            ),
            "found": build_head(encoder, "found", "bertmod/span"),
        }
        pals = build_adapter(encoder, "small", "bertmod/pals", bottleneck_size=12, num_heads=3)
        whole = MultiTaskModel(encoder, {"small": {"pals": pals}}, heads)
        with torch.no_grad():
            for parameter in whole.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return PaddedModel(whole, TASKS)


class Made(NamedTuple):
    """What an exporter made of the model, and the model that it was given."""

    folder: tempfile.TemporaryDirectory[str]
    files: Exported
    given: PaddedModel


@cache
def exported(spec: Any, config: Any) -> Made:
    """What an exporter makes of the model; once, and kept to the end."""
    folder = tempfile.TemporaryDirectory(prefix="bertmod-conformance-")
    given = model()
    with warnings.catch_warnings(action="ignore"):  # tracers tell their authors much
        return Made(folder, spec.export(config, given.context(), Path(folder.name)), given)


def rows(num_rows: int, length: int) -> dict[str, np.ndarray]:
    """Random rows, the first of which is full."""
    draws = np.random.default_rng(num_rows)
    lengths = np.maximum(1, draws.integers(0, length + 1, num_rows))
    lengths[0] = length
    mask = np.arange(length) < lengths[:, None]
    ids = draws.integers(1, HOST["vocab_size"], (num_rows, length))
    return {
        "input_ids": np.where(mask, ids, 0),
        "attention_mask": mask.astype(np.int64),
        "token_type_ids": draws.integers(0, 2, (num_rows, length)),
    }


def writes_files(subject: Subject) -> None:
    """It writes files into the folder, and none of the names that bertmod writes beside them:
    export.json, README.md, tokenizer.json, tokenizer_config.json, vocab.txt.
    """
    folder = exported(subject.spec, subject.config).folder
    names = {path.name for path in Path(folder.name).iterdir()}
    require(names, "it leaves the folder empty")
    own = {"export.json", "README.md", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    require(not names & own, f"it writes {listed(sorted(names & own))}")


def named_outputs(subject: Subject) -> None:
    """What it returns runs rows of any number and length, gives the outputs that are asked for and
    no other, by name, fp32, in the shape that the context says.
    """
    files = exported(subject.spec, subject.config).files
    for sizes in SIZES:
        for outputs in (model().outputs, model().outputs[1:2]):
            found = files.run(rows(*sizes), [output.name for output in outputs])
            names = [output.name for output in outputs]
            require(sorted(found) == sorted(names), f"asked for {names}, it gives {list(found)}")
            for output in outputs:
                axes = sizes if output.per == "token" else sizes[:1]
                expected, array = (*axes, *output.shape), found[output.name]
                right = array.shape == expected and array.dtype == np.float32
                told = f"{output.name} of {sizes} rows and tokens is {array.dtype} {array.shape}"
                require(right, f"{told}, not float32 {expected}")


def same_logits(subject: Subject) -> None:
    """If it is exact, its outputs are the model's, up to 1e-4; padding behind a row's end is left
    out of account. If it is not, they are finite numbers.
    """
    files = exported(subject.spec, subject.config).files
    names = [output.name for output in model().outputs]
    for sizes in SIZES:
        given = rows(*sizes)
        found, expected = files.run(given, names), _expected(given)
        for output in model().outputs:
            real = given["attention_mask"] == 1
            pair = (found[output.name], expected[output.name])
            one, other = (each[real] if output.per == "token" else each for each in pair)
            require(np.isfinite(one).all(), f"{output.name} is not finite")
            apart = float(np.abs(one - other).max())
            close = apart <= TOLERANCE or not subject.spec.exact
            require(close, f"{output.name} is {apart:.2g} away from the model's")


def use_runs(subject: Subject) -> None:
    """The Python that it gives for the README, if any, makes ``outputs`` of ``inputs`` in the
    folder of the files: those that it returns itself.
    """
    folder, files, given = exported(subject.spec, subject.config)
    if not files.use:
        return
    names = [output.name for output in given.outputs]
    inputs = rows(*SIZES[0])
    found: dict[str, Any] = {"inputs": inputs}
    with contextlib.chdir(folder.name):
        exec(compile(files.use, "use", "exec"), found)
    outputs: Any = found.get("outputs")
    require(isinstance(outputs, Mapping), "its code for the README makes no outputs by name")
    apart = [name for name in names if name not in outputs]
    require(not apart, f"its code for the README does not give {listed(apart)}")
    for name, expected in files.run(inputs, names).items():
        array = np.asarray(outputs[name])
        alike = array.shape == expected.shape
        close = alike and np.allclose(array, expected, rtol=0, atol=TOLERANCE)
        require(close, f"its code for the README gives another {name}")


def model_kept(subject: Subject) -> None:
    """It leaves the model as it was: its values, and that it does not train."""
    given = exported(subject.spec, subject.config).given
    require(_hash(given) == _hash(model()), "it changes the model's parameters")
    require(not given.training, "it switches the model to training")


CHECKS = (writes_files, named_outputs, same_logits, use_runs, model_kept)


def _expected(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    with torch.no_grad():
        return {name: value.numpy() for name, value in model()(**tensors).items()}


def _hash(module: torch.nn.Module) -> str:
    found = hashlib.sha256()
    for name, value in module.state_dict().items():
        found.update(name.encode() + value.numpy().tobytes())
    return found.hexdigest()
