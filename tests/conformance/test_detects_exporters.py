"""The suite of exporters finds those that are broken in typical ways."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from bertmod import EmptyConfig, Exported, ExporterSpec


def runner(module: torch.nn.Module) -> Any:
    """Runs a module by names of inputs and outputs."""

    def run(inputs, outputs):
        with torch.no_grad():
            found = module(**{name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: found[name].numpy() for name in outputs}

    return run


def right(config, context, folder):
    (folder / "model.bin").write_bytes(b"x")
    return Exported(runner(context.module))


def nothing(config, context, folder):
    return Exported(runner(context.module))


def another_s_file(config, context, folder):
    (folder / "README.md").write_text("mine")
    return right(config, context, folder)


def gives_all(config, context, folder):
    run, names = right(config, context, folder).run, context.outputs
    return Exported(lambda inputs, outputs: run(inputs, names))


def the_example_s_size(config, context, folder):
    run = right(config, context, folder).run
    return Exported(lambda inputs, outputs: run({k: v[:3, :7] for k, v in inputs.items()}, outputs))


def no_mask(config, context, folder):
    run = right(config, context, folder).run

    def without(inputs, outputs):
        return run({**inputs, "attention_mask": 0 * inputs["attention_mask"] + 1}, outputs)

    return Exported(without)


def uses_nothing(config, context, folder):
    return replace(right(config, context, folder), use="outputs = None")


def uses_another(config, context, folder):
    use = "outputs = {name: inputs['input_ids'] for name in NAMES}"
    names = repr(context.outputs)
    return replace(right(config, context, folder), use=use.replace("NAMES", names))


def halves(config, context, folder):
    context.module.half().float()
    return right(config, context, folder)


def trains(config, context, folder):
    context.module.train()
    return right(config, context, folder)


def spec(export: Any, *, exact: bool = True) -> ExporterSpec:
    return ExporterSpec(
        name="tried", config=EmptyConfig, export=export, exact=exact, summary="Files."
    )


def test_the_module_itself_passes(verdicts) -> None:
    assert verdicts(spec(right)) == {}
    assert verdicts(spec(no_mask, exact=False)) == {}


@pytest.mark.parametrize(
    ("export", "check", "told"),
    [
        (nothing, "writes_files", "it leaves the folder empty"),
        (another_s_file, "writes_files", "it writes README.md"),
        (gives_all, "named_outputs", "asked for ['tagged.logits'], it gives ['small.logits', "),
        (the_example_s_size, "named_outputs", "small.logits of (5, 17) rows and tokens is float32"),
        (no_mask, "same_logits", "away from the model's"),
        (uses_nothing, "use_runs", "its code for the README makes no outputs by name"),
        (uses_another, "use_runs", "its code for the README gives another small.logits"),
        (halves, "model_kept", "it changes the model's parameters"),
        (trains, "model_kept", "it switches the model to training"),
    ],
)
def test_what_is_broken(verdict, export: Any, check: str, told: str) -> None:
    assert told in verdict(spec(export), check)
