"""Finding plugins, loading each one behind a guard, and collecting what they provide.

A plugin that fails loses its own records and nothing else. Every record keeps the distribution
and version it comes from.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pluggy

import bertmod
from bertmod import hookspecs
from bertmod.contracts.config import ComponentConfig
from bertmod.hookspecs import CONTRACT
from bertmod.specs import SPECS, CommandSpec, Spec
from bertmod.wording import did_you_mean, listed

DEFAULT_PLUGINS = (
    "bertmod.builtin.encoders.plugin",
    "bertmod.builtin.tokenizers.plugin",
    "bertmod.builtin.adapters.plugin",
    "bertmod.builtin.heads.plugin",
    "bertmod.builtin.tasks.plugin",
    "bertmod.builtin.samplers.plugin",
    "bertmod.builtin.optimizers.plugin",
    "bertmod.builtin.schedules.plugin",
    "bertmod.builtin.loaders.plugin",
    "bertmod.builtin.metrics.plugin",
    "bertmod.builtin.trackers.plugin",
    "bertmod.builtin.exporters.plugin",
    "bertmod.cli.plugin",
)
"""The plugins that ship with bertmod; they always load."""

GROUP = "bertmod"
"""The entry-point group of plugins."""

SWITCH = "BERTMOD_PLUGINS"
"""Environment variable: names of the entry points to load, comma-separated; empty means none."""

RESERVED = {"loader": ("auto",)}
"""Names that mean something else in a slot of a kind."""

HOOKS: Mapping[str, type[Spec] | type[CommandSpec]] = {
    **{f"bertmod_{spec.kind}s": spec for spec in SPECS},
    "bertmod_commands": CommandSpec,
}
"""Hook name to the record that it yields."""

State = Literal["loaded", "failed", "switched off"]


@dataclass(frozen=True)
class Plugin:
    """One plugin that was found, and what became of it.

    Attributes:
        name: Name of its entry point; the module's name for one that ships with bertmod.
        module: The module that the entry point names.
        distribution: The distribution it belongs to.
        version: That distribution's version; empty if there is none.
        state: What became of it.
        cause: Why it failed, one line.
    """

    name: str
    module: str
    distribution: str
    version: str
    state: State = "loaded"
    cause: str = ""

    @property
    def failure(self) -> str:
        """One line on a plugin that failed."""
        owner = f"{self.distribution} {self.version}".strip()
        if self.module in DEFAULT_PLUGINS:
            owner += f" ({self.name})"
        return f"plugin {owner} did not load: {self.cause}"


@dataclass(frozen=True)
class Source:
    """A plugin that may be loaded.

    Attributes:
        plugin: Its name and where it comes from.
        load: Imports it.
    """

    plugin: Plugin
    load: Callable[[], Any]


@dataclass(frozen=True)
class Record:
    """One spec, with the plugin it comes from."""

    spec: Spec | CommandSpec
    plugin: Plugin


@dataclass(frozen=True)
class Collection:
    """What all plugins provide, and what became of each plugin."""

    records: tuple[Record, ...]
    plugins: tuple[Plugin, ...]


class _Refused(Exception):
    """A plugin breaks the contract; the text says how."""


def discover() -> Collection:
    """Load every plugin that is installed and switched on, and collect their records."""
    chosen, others = _installed(os.environ.get(SWITCH))
    collection = collect([*_builtin(), *chosen])
    return replace(collection, plugins=(*collection.plugins, *others))


def collect(sources: Sequence[Source]) -> Collection:
    """Load plugins one by one and collect the records of those that keep the contract."""
    manager = pluggy.PluginManager("bertmod")
    manager.add_hookspecs(hookspecs)
    failed: dict[int, str] = {}
    modules: dict[int, Any] = {}
    for index, source in enumerate(sources):
        try:
            modules[index] = _load(manager, source, str(index))
        except (Exception, SystemExit) as error:
            failed[index] = _cause(error)
    for index, cause in _unknown_hooks(manager):
        failed[index] = cause
    records: list[Record] = []
    for index, source in enumerate(sources):
        if index in failed:
            continue
        try:
            records += _records(manager, modules[index], source.plugin, records)
        except (Exception, SystemExit) as error:
            failed[index] = _cause(error)
    plugins = tuple(
        replace(source.plugin, state="failed", cause=failed[index])
        if index in failed
        else source.plugin
        for index, source in enumerate(sources)
    )
    return Collection(tuple(records), plugins)


def _builtin() -> list[Source]:
    return [
        Source(
            Plugin(module.split(".")[-2], module, "bertmod", bertmod.__version__),
            functools.partial(importlib.import_module, module),
        )
        for module in DEFAULT_PLUGINS
    ]


def _installed(switch: str | None) -> tuple[list[Source], list[Plugin]]:
    """Entry points to load, and plugins that are off or named by the switch but not installed."""
    sources = [_source(point) for point in importlib.metadata.entry_points(group=GROUP)]
    sources.sort(key=lambda source: (source.plugin.distribution, source.plugin.name))
    if switch is None:
        return sources, []
    wanted = [name.strip() for name in switch.split(",") if name.strip()]
    names = sorted({source.plugin.name for source in sources})
    off = [
        replace(source.plugin, state="switched off")
        for source in sources
        if source.plugin.name not in wanted
    ]
    absent = [
        Plugin(
            name=name,
            module="",
            distribution=f'"{name}"',
            version="",
            state="failed",
            cause=f"{SWITCH} names it, but it is not installed{did_you_mean(name, names)}"
            f" (installed: {listed(names)})",
        )
        for name in dict.fromkeys(wanted)
        if name not in names
    ]
    return [source for source in sources if source.plugin.name in wanted], [*off, *absent]


def _source(point: importlib.metadata.EntryPoint) -> Source:
    dist = point.dist
    distribution, version = (dist.name, dist.version) if dist else (point.name, "")
    return Source(Plugin(point.name, point.value, distribution, version), point.load)


def _load(manager: pluggy.PluginManager, source: Source, key: str) -> Any:
    module = source.load()
    contract = getattr(module, "BERTMOD_CONTRACT", None)
    if contract is None:
        raise _Refused(f"it does not say BERTMOD_CONTRACT = {CONTRACT}")
    if contract != CONTRACT:
        raise _Refused(
            f"made for contract {contract!r}, this bertmod offers contract {CONTRACT}"
            f"{_remedy(contract)}"
        )
    if manager.is_registered(module):
        raise _Refused(f"{source.plugin.module} is already loaded under another name")
    try:
        manager.register(module, key)
    except BaseException as error:
        if manager.has_plugin(key):
            manager.unregister(name=key)
        if isinstance(error, pluggy.PluginValidationError):
            raise _Refused(_invalid_hook(error)) from error
        raise
    if not manager.get_hookcallers(module):
        raise _Refused("it implements no hook; is @hookimpl missing?")
    return module


def _remedy(contract: object) -> str:
    """Which of the two to bring up to date, after a comma."""
    if type(contract) is not int:
        return ", a whole number"
    return ", install a newer version of " + ("bertmod" if contract > CONTRACT else "the plugin")


def _invalid_hook(error: pluggy.PluginValidationError) -> str:
    """Why pluggy refuses a hook: its headline names a key of ours, what follows says it."""
    _, *rest = str(error).splitlines()
    told = "; ".join(line.strip() for line in rest if line.strip())
    if "are declared in the hookimpl but" in told:
        definition = told.partition("; ")[0].removeprefix("hookimpl definition: ")
        return f"hooks take no arguments, but it has {definition}"
    return told or str(error)


def _unknown_hooks(manager: pluggy.PluginManager) -> Iterable[tuple[int, str]]:
    """Unregister each plugin with a hook that bertmod does not have, and say which."""
    while True:
        try:
            manager.check_pending()
        except pluggy.PluginValidationError as error:
            plugin = error.plugin
            callers = manager.get_hookcallers(plugin) or []
            unknown = sorted(caller.name for caller in callers if not caller.has_spec())
            key = manager.get_name(plugin)
            manager.unregister(plugin)
            told = "; ".join(f'unknown hook "{n}"{did_you_mean(n, HOOKS)}' for n in unknown)
            yield int(key or 0), told
        else:
            return


def _records(
    manager: pluggy.PluginManager, module: Any, plugin: Plugin, earlier: Sequence[Record]
) -> list[Record]:
    """The records of one plugin, each checked against the contract."""
    taken = {_key(record) for record in earlier}
    found: list[Record] = []
    for hook, expected in HOOKS.items():
        for impl in getattr(manager.hook, hook).get_hookimpls():
            if impl.plugin is not module:
                continue
            for spec in _called(hook, impl):
                _check_record(hook, expected, spec)
                record = Record(spec, plugin)
                if _key(record) in taken:
                    raise _Refused(
                        f'{hook} yields "{spec.name}", which {plugin.distribution} has already'
                    )
                taken.add(_key(record))
                found.append(record)
    return found


def _key(record: Record) -> tuple[type, str, str]:
    return type(record.spec), record.spec.name, record.plugin.distribution


def _called(hook: str, impl: Any) -> list[Any]:
    if impl.hookwrapper or impl.wrapper:
        raise _Refused(f"{hook} is a wrapper; hooks yield records")
    result = impl.function()
    if not isinstance(result, Iterable):
        raise _Refused(f"{hook} returns {_type_name(result)}, not records")
    return list(result)


def _check_record(hook: str, expected: type[Spec] | type[CommandSpec], spec: Any) -> None:
    if not isinstance(spec, expected):
        raise _Refused(f"{hook} yields {_type_name(spec)}, not {expected.__name__}")
    if isinstance(spec, CommandSpec):
        if not re.fullmatch(r"[a-z][a-z0-9-]*", spec.name):
            raise _Refused(f'command name "{spec.name}" is not lower case with hyphens')
        return
    if not re.fullmatch(r"[a-z][a-z0-9_]*", spec.name):
        raise _Refused(f'{spec.kind} name "{spec.name}" is not lower_snake')
    if spec.name in RESERVED.get(spec.kind, ()):
        raise _Refused(f'"{spec.name}" is reserved among {spec.kind}s')
    _check_config(spec)


def _check_config(spec: Spec) -> None:
    if not (isinstance(spec.config, type) and issubclass(spec.config, ComponentConfig)):
        raise _Refused(f'{spec.kind} "{spec.name}": config is not a ComponentConfig')
    clashes = [key for key in ("name", *spec.slot_keys) if key in spec.config.model_fields]
    if clashes:
        raise _Refused(
            f'{spec.kind} "{spec.name}": its options declare {listed(clashes)}, '
            f"which belongs to every {spec.kind} slot"
        )


def _type_name(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _cause(error: BaseException) -> str:
    """One line: the class of the error unless it is our own, and the first line of its text."""
    text = str(error).strip().splitlines()
    first = text[0] if text else ""
    if isinstance(error, _Refused):
        return first
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


__all__ = [
    "DEFAULT_PLUGINS",
    "GROUP",
    "SWITCH",
    "Collection",
    "Plugin",
    "Record",
    "Source",
    "collect",
    "discover",
]
