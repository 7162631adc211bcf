"""The commands that come with bertmod."""

from __future__ import annotations

from collections.abc import Iterator

from bertmod import CommandSpec, hookimpl

BERTMOD_CONTRACT = 1


@hookimpl
def bertmod_commands() -> Iterator[CommandSpec]:
    """Commands, in the order of their use; their modules are imported here, torch nowhere."""
    yield from _of_runs()
    yield from _of_text()
    yield from _of_checkpoints()
    yield from _of_components()


def _of_runs() -> Iterator[CommandSpec]:
    from bertmod.cli.check import check
    from bertmod.cli.compare import compare
    from bertmod.cli.evaluate import evaluate
    from bertmod.cli.merge import merge
    from bertmod.cli.plan import plan
    from bertmod.cli.predict import predict
    from bertmod.cli.run import run
    from bertmod.cli.submit import submit

    yield CommandSpec(name="run", function=run, summary="Train what a recipe describes.")
    yield CommandSpec(
        name="check", function=check, summary="Find every problem of a recipe, without running it."
    )
    yield CommandSpec(
        name="plan", function=plan, summary="Show what a run would do, and what it would cost."
    )
    yield CommandSpec(
        name="predict",
        function=predict,
        summary="Answer a text, a file or test splits with a trained run.",
    )
    yield CommandSpec(
        name="submit", function=submit, summary="Write a trained run's answers as GLUE's zip."
    )
    yield CommandSpec(
        name="evaluate", function=evaluate, summary="Score a trained run, or a file of predictions."
    )
    yield CommandSpec(
        name="compare", function=compare, summary="Set trained runs side by side in one table."
    )
    yield CommandSpec(
        name="merge", function=merge, summary="Make one adapter file of several of one kind."
    )


def _of_text() -> Iterator[CommandSpec]:
    from bertmod.cli.pretraining_data import pretraining_data
    from bertmod.cli.vocab import vocab

    yield CommandSpec(
        name="vocab",
        function=vocab,
        summary="Learn a vocabulary from text, look at one, or extend it.",
    )
    yield CommandSpec(
        name="pretraining-data",
        function=pretraining_data,
        summary="Make masked pairs of segments of text, to pre-train on.",
    )


def _of_checkpoints() -> Iterator[CommandSpec]:
    from bertmod.cli.convert import convert
    from bertmod.cli.export import export
    from bertmod.cli.features import features
    from bertmod.cli.verify import verify

    yield CommandSpec(
        name="features",
        function=features,
        summary="Write the hidden states of lines of text, or vectors of whole lines.",
    )
    yield CommandSpec(
        name="verify", function=verify, summary="Tell whether two checkpoints compute the same."
    )
    yield CommandSpec(
        name="convert",
        function=convert,
        summary="Write a checkpoint again in another format.",
    )
    yield CommandSpec(
        name="export",
        function=export,
        summary="Write a trained run for other programs: ONNX, torch.export, 8 bits.",
    )


def _of_components() -> Iterator[CommandSpec]:
    from bertmod.cli.doctor import doctor
    from bertmod.cli.list import list_components
    from bertmod.cli.new_plugin import make_plugin
    from bertmod.cli.plugins import plugins
    from bertmod.cli.schema import schema
    from bertmod.cli.show import show

    yield CommandSpec(
        name="list", function=list_components, summary="List the components that are installed."
    )
    yield CommandSpec(
        name="show", function=show, summary="Show a component's options, defaults and source."
    )
    yield CommandSpec(
        name="schema", function=schema, summary="Write the JSON Schema of recipes, for editors."
    )
    yield CommandSpec(
        name="plugins", function=plugins, summary="List the plugins and what became of them."
    )
    yield CommandSpec(
        name="doctor",
        function=doctor,
        summary="Show what this machine has and how fast it is, with advice.",
    )
    yield CommandSpec(
        name="new-plugin",
        function=make_plugin,
        summary="Write a new plugin: a component that works, tests, a recipe.",
    )
