"""Every component of every plugin, by kind and name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bertmod.errors import PluginError
from bertmod.plugins import Collection, Plugin, Record, discover
from bertmod.specs import SPECS, CommandSpec, Spec
from bertmod.wording import article, did_you_mean, listed

SpecT = TypeVar("SpecT", bound=Spec | CommandSpec, covariant=True)

KINDS: tuple[str, ...] = tuple(spec.kind for spec in SPECS)
"""Every kind, singular, in the order in which they are shown."""


@dataclass(frozen=True)
class Entry(Generic[SpecT]):
    """One component or command, with where it comes from.

    Attributes:
        spec: Its record.
        provider: Name of the distribution.
        version: Version of the distribution.
    """

    spec: SpecT
    provider: str
    version: str

    @property
    def full_name(self) -> str:
        """``provider/name``, which is never ambiguous."""
        return f"{self.provider}/{self.spec.name}"

    @property
    def described(self) -> str:
        """Kind, name and provider, as messages say them."""
        kind = self.spec.kind if isinstance(self.spec, Spec) else "command"
        return f'{kind} "{self.spec.name}" ({self.provider} {self.version})'


class UnknownNameError(PluginError):
    """Nothing of that name is installed, or more than one thing is.

    Args:
        what: What is wrong, one line.
        more: What is available and what to do.
    """

    def __init__(self, what: str, more: Sequence[str] = ()) -> None:
        self.what = what
        self.more = tuple(more)
        super().__init__("\n".join([what, *(f"    {line}" for line in self.more)]))


class Registry:
    """Components by kind and name, commands by name.

    Args:
        collection: What the plugins provide.

    Attributes:
        plugins: Every plugin that was found, and what became of it.
    """

    def __init__(self, collection: Collection) -> None:
        self.plugins = collection.plugins
        self._entries: dict[str, dict[str, list[Entry[Spec]]]] = {kind: {} for kind in KINDS}
        self._commands: dict[str, list[Entry[CommandSpec]]] = {}
        for record in collection.records:
            self._add(record)

    def _add(self, record: Record) -> None:
        spec, plugin = record.spec, record.plugin
        if isinstance(spec, CommandSpec):
            command = Entry(spec, plugin.distribution, plugin.version)
            self._commands.setdefault(spec.name, []).append(command)
        else:
            entry = Entry(spec, plugin.distribution, plugin.version)
            self._entries[spec.kind].setdefault(spec.name, []).append(entry)

    @property
    def failures(self) -> tuple[Plugin, ...]:
        """Plugins that did not load."""
        return tuple(plugin for plugin in self.plugins if plugin.state == "failed")

    @property
    def providers(self) -> Mapping[str, str]:
        """Distributions that provide something, name to version."""
        groups: list[Mapping[str, Sequence[Entry[Spec | CommandSpec]]]]
        groups = [*self._entries.values(), self._commands]
        entries = [entry for group in groups for same in group.values() for entry in same]
        return {entry.provider: entry.version for entry in entries}

    def kind(self, name: str) -> str:
        """The singular of a kind that is written in singular or plural.

        Raises:
            UnknownNameError: If there is no such kind.
        """
        for kind in KINDS:
            if name in (kind, f"{kind}s"):
                return kind
        suggestion = did_you_mean(name, [*KINDS, *(f"{kind}s" for kind in KINDS)])
        raise UnknownNameError(f'no kind called "{name}"{suggestion}', [f"kinds: {listed(KINDS)}"])

    def entries(self, kind: str) -> tuple[Entry[Spec], ...]:
        """Every component of a kind, by name."""
        group = self._entries[self.kind(kind)]
        return tuple(entry for name in sorted(group) for entry in group[name])

    def commands(self) -> tuple[Entry[CommandSpec], ...]:
        """Every command, by name."""
        return tuple(entry for name in sorted(self._commands) for entry in self._commands[name])

    def names(self, kind: str) -> tuple[str, ...]:
        """What may be written for a component of a kind: its name, with provider where needed."""
        return _names(self._entries[self.kind(kind)])

    def get(self, kind: str, name: str, *, near: str | None = None) -> Entry[Spec]:
        """The component that a name stands for.

        Args:
            kind: Kind, singular or plural.
            name: ``name`` or ``provider/name``.
            near: Provider whose component a bare name means if it has one of that name; for
                names that a provider itself wrote.

        Raises:
            UnknownNameError: If nothing, or more than one thing, is called so.
        """
        kind = self.kind(kind)
        return self._one(kind, self._entries[kind], name, near=near)

    def command(self, name: str) -> Entry[CommandSpec]:
        """The command that a name stands for.

        Raises:
            UnknownNameError: If nothing, or more than one thing, is called so.
        """
        return self._one("command", self._commands, name, near=None)

    def _one(
        self, kind: str, group: Mapping[str, Sequence[Entry[SpecT]]], name: str, *, near: str | None
    ) -> Entry[SpecT]:
        provider, _, bare = name.rpartition("/")
        found = [e for e in group.get(bare, ()) if not provider or e.provider == provider]
        if len(found) == 1:
            return found[0]
        nearest = [entry for entry in found if entry.provider == near]
        if nearest:
            return nearest[0]
        raise self._ambiguous(kind, name, found) if found else self._unknown(kind, name, group)

    def _ambiguous(
        self, kind: str, name: str, found: Sequence[Entry[Spec | CommandSpec]]
    ) -> UnknownNameError:
        owners = " and ".join(f"{entry.provider} {entry.version}" for entry in found)
        return UnknownNameError(
            f'{len(found)} plugins provide {article(kind)} called "{name}": {owners}',
            ["write " + " or ".join(f'"{entry.full_name}"' for entry in found)],
        )

    def _unknown(
        self, kind: str, name: str, group: Mapping[str, Sequence[Entry[Spec | CommandSpec]]]
    ) -> UnknownNameError:
        candidates = [*group, *(e.full_name for same in group.values() for e in same)]
        suggestion = did_you_mean(name, candidates)
        return UnknownNameError(
            f'no {kind} called "{name}"{suggestion}',
            [f"available: {listed(_names(group))}", *(p.failure for p in self.failures)],
        )


def _names(group: Mapping[str, Sequence[Entry[Spec | CommandSpec]]]) -> tuple[str, ...]:
    names = defaultdict(list)
    for name in sorted(group):
        same = group[name]
        names[name] = [name] if len(same) == 1 else [entry.full_name for entry in same]
    return tuple(written for same in names.values() for written in same)


def load_registry(strict: bool = False) -> Registry:
    """Load every plugin that is installed and switched on.

    Args:
        strict: Whether a plugin that fails is an error.

    Raises:
        PluginError: If ``strict`` and a plugin failed; it names every one.
    """
    registry = Registry(discover())
    if strict and registry.failures:
        raise PluginError("\n".join(plugin.failure for plugin in registry.failures))
    return registry
