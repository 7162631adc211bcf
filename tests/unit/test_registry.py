from __future__ import annotations

import types

import pytest

from bertmod import (
    CommandSpec,
    ComponentConfig,
    EmptyConfig,
    LoaderSpec,
    MetricSpec,
    SamplerSpec,
    hookimpl,
)
from bertmod.plugins import Plugin, Source, collect
from bertmod.registry import Registry, UnknownNameError


def sampler(name, config=EmptyConfig):
    return SamplerSpec(name=name, config=config, build=lambda *_: None, summary="A sampler.")


def plugin(name, contract=1, **hooks):
    """A plugin made in memory; ``samplers=[...]`` is what its hook of that name yields."""
    module = types.ModuleType(f"bertmod_{name}")
    if contract is not None:
        module.BERTMOD_CONTRACT = contract
    for hook, value in hooks.items():
        function = value if callable(value) else (lambda records=value: iter(records))
        setattr(module, f"bertmod_{hook}", hookimpl(_named(function)))
    origin = Plugin(name, module.__name__, f"bertmod-{name}", "1.0")
    return Source(origin, lambda: module)


def _named(function):
    return lambda: function()


def registry(*sources):
    return Registry(collect(sources))


def told(call, *args, **kwargs):
    with pytest.raises(UnknownNameError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def causes(*sources):
    return [plugin.cause for plugin in collect(sources).plugins]


def test_components_keep_their_provider():
    found = registry(plugin("one", samplers=[sampler("a")])).get("samplers", "a")
    assert (found.spec.name, found.provider, found.version) == ("a", "bertmod-one", "1.0")
    assert found.full_name == "bertmod-one/a"


def test_kinds_are_singular_or_plural():
    one = registry(plugin("one", samplers=[sampler("a")]))
    assert one.get("sampler", "a") is one.get("samplers", "bertmod-one/a")
    assert told(one.kind, "smpler") == (
        'no kind called "smpler", did you mean "sampler"?\n'
        "    kinds: encoder, tokenizer, adapter, head, task, sampler, optimizer, schedule, loader, "
        "metric, tracker, exporter"
    )


def test_two_providers_of_one_name_must_be_told_apart():
    both = registry(plugin("one", samplers=[sampler("a")]), plugin("two", samplers=[sampler("a")]))
    assert told(both.get, "sampler", "a") == (
        '2 plugins provide a sampler called "a": bertmod-one 1.0 and bertmod-two 1.0\n'
        '    write "bertmod-one/a" or "bertmod-two/a"'
    )
    assert both.get("sampler", "bertmod-two/a").provider == "bertmod-two"
    assert both.get("sampler", "a", near="bertmod-one").provider == "bertmod-one"
    assert both.names("sampler") == ("bertmod-one/a", "bertmod-two/a")


def test_an_unknown_name_tells_what_is_there_and_what_did_not_load():
    def broken():
        raise ModuleNotFoundError("No module named 'numexpr'")

    origin = Plugin("curriculum", "x", "bertmod-curriculum", "0.1.0")
    found = registry(plugin("one", samplers=[sampler("anneal")]), Source(origin, broken))
    assert told(found.get, "sampler", "aneal") == (
        'no sampler called "aneal", did you mean "anneal"?\n'
        "    available: anneal\n"
        "    plugin bertmod-curriculum 0.1.0 did not load: ModuleNotFoundError: "
        "No module named 'numexpr'"
    )
    assert told(found.get, "metric", "x") == (
        'no metric called "x"\n'
        "    available: none\n"
        "    plugin bertmod-curriculum 0.1.0 did not load: ModuleNotFoundError: "
        "No module named 'numexpr'"
    )


def test_commands_are_found_by_name():
    hello = CommandSpec(name="hello-you", function=print, summary="Greets.")
    found = registry(plugin("one", commands=[hello]))
    assert found.command("hello-you").spec is hello
    assert told(found.command, "helo-you") == (
        'no command called "helo-you", did you mean "hello-you"?\n    available: hello-you'
    )
    assert found.providers == {"bertmod-one": "1.0"}


class Clash(ComponentConfig):
    sizes: int = 1


def metric(name):
    return MetricSpec(name=name, config=EmptyConfig, build=lambda _: None, summary="A metric.")


def loader(name):
    return LoaderSpec(
        name=name, config=EmptyConfig, can_load=str, describe=print, tensors=dict, summary="Loads."
    )


def raising():
    raise ValueError("no luck\nmore")


def leaving():
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (plugin("p", contract=None, samplers=[]), "it does not say BERTMOD_CONTRACT = 1"),
        (
            plugin("p", contract=2, samplers=[]),
            "made for contract 2, this bertmod offers contract 1, "
            "install a newer version of bertmod",
        ),
        (
            plugin("p", contract=0, samplers=[]),
            "made for contract 0, this bertmod offers contract 1, "
            "install a newer version of the plugin",
        ),
        (
            plugin("p", contract="1", samplers=[]),
            "made for contract '1', this bertmod offers contract 1, a whole number",
        ),
        (
            plugin("p", sampler=[]),
            'unknown hook "bertmod_sampler", did you mean "bertmod_samplers"?',
        ),
        (plugin("p"), "it implements no hook; is @hookimpl missing?"),
        (plugin("p", samplers=raising), "ValueError: no luck"),
        (plugin("p", samplers=leaving), "SystemExit: 3"),
        (plugin("p", samplers=lambda: None), "bertmod_samplers returns None, not records"),
        (
            plugin("p", samplers=[metric("m")]),
            "bertmod_samplers yields MetricSpec, not SamplerSpec",
        ),
        (
            plugin("p", samplers=[sampler("a", Clash)]),
            'sampler "a": its options declare sizes, which belongs to every sampler slot',
        ),
        (plugin("p", samplers=[sampler("A-b")]), 'sampler name "A-b" is not lower_snake'),
        (
            plugin("p", samplers=[sampler("a"), sampler("a")]),
            'bertmod_samplers yields "a", which bertmod-p has already',
        ),
        (plugin("p", loaders=[loader("auto")]), '"auto" is reserved among loaders'),
        (
            plugin("p", samplers=[sampler("a", dict)]),
            'sampler "a": config is not a ComponentConfig',
        ),
    ],
)
def test_a_plugin_that_breaks_the_contract_loses_its_own_records_alone(source, cause):
    good = plugin("good", samplers=[sampler("fine")])
    collection = collect([source, good])
    assert [plugin.cause for plugin in collection.plugins] == [cause, ""]
    assert [record.spec.name for record in collection.records] == ["fine"]


def test_every_misspelt_hook_of_every_plugin_is_found():
    first = plugin("one", sampler=[], metrix=[])
    second = plugin("two", tasc=[], samplers=[sampler("a")])
    assert causes(first, second, plugin("three", samplers=[sampler("b")])) == [
        'unknown hook "bertmod_metrix", did you mean "bertmod_metrics"?; '
        'unknown hook "bertmod_sampler", did you mean "bertmod_samplers"?',
        'unknown hook "bertmod_tasc", did you mean "bertmod_tasks"?',
        "",
    ]


def test_what_is_interrupted_is_interrupted():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect([Source(Plugin("p", "p", "p", "1"), interrupted)])
