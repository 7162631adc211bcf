"""The checks of a distribution's components, one by one or as a pytest test."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from bertmod.plugins import GROUP
from bertmod.registry import Entry, Registry, load_registry
from bertmod.specs import Spec
from bertmod.testing.light import LightRun
from bertmod.testing.subject import Material, Options, Source, located, subjects
from bertmod.wording import did_you_mean, listed, shown

Configs = Mapping[str, Sequence[Options]]
Sources = Source | Mapping[str, Source] | None
Check = Callable[..., None]


@dataclass(frozen=True)
class Case:
    """One check of one component.

    Attributes:
        id: ``kind-name-check``.
        check: Raises ``AssertionError`` that says what is wrong and what the contract is.
    """

    id: str
    check: Callable[[], None] = field(repr=False)

    def __call__(self) -> None:
        """Run the check.

        Raises:
            AssertionError: If the component breaks the contract.
        """
        __tracebackhide__ = True
        self.check()


@dataclass(frozen=True)
class _Component:
    """A component, and what its author gave for it."""

    spec: Any
    described: str
    examples: Sequence[Options]
    material: Material
    light: LightRun | None = None

    @property
    def id(self) -> str:
        return f"{self.spec.kind}-{self.spec.name}"


def conformance(
    distribution: str,
    *,
    only: str | Sequence[str] | None = None,
    configs: Configs | None = None,
    data: Sources = None,
    checkpoint: Sources = None,
    targets: Mapping[str, Callable[..., Any]] | None = None,
) -> Callable[..., None]:
    """A pytest test of everything that a distribution provides, one id per component and check.

    Args:
        distribution: Name of the installed distribution: ``bertmod-gate``.
        only: Shell-style patterns of test ids: ``adapter-gate-*``.
        configs: Component (``gate``, or ``adapter-gate``) to options to check it with, as a
            recipe writes them; its defaults are checked too where they can serve.
        data: Data folder of its tasks, or one per task; default: the built-in sample.
        checkpoint: Checkpoint of its loader, or one per loader.
        targets: Head to a function of (numpy generator, row lengths) that makes its targets;
            needed for targets that are neither ``class`` nor ``value``.

    Returns:
        The test function; give it a name that begins with ``test_``.
    """
    import pytest

    found = cases(
        distribution,
        only=only,
        configs=configs,
        data=data,
        checkpoint=checkpoint,
        targets=targets,
    )

    @pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in found])
    def test_conformance(case: Case) -> None:
        case()

    return test_conformance


def cases(
    distribution: str,
    *,
    only: str | Sequence[str] | None = None,
    configs: Configs | None = None,
    data: Sources = None,
    checkpoint: Sources = None,
    targets: Mapping[str, Callable[..., Any]] | None = None,
) -> tuple[Case, ...]:
    """The checks behind ``conformance``, for use without pytest; see there for the arguments.

    Never empty: a distribution that is not installed, did not load or provides nothing gives a
    case that fails and says so.
    """
    registry = load_registry()
    name = _installed_name(distribution, registry)
    entries = [entry for entry in _entries(registry) if entry.provider == name]
    given = _Given(configs or {}, data, checkpoint, targets or {})
    found = [*_not_loaded(distribution, name, registry, bool(entries)), *given.misnamed(entries)]
    run = LightRun(name, _entry_points(name))
    for entry in entries:
        found += _cases_of(given.component(entry, run))
    return _chosen(found, only)


def checks(
    kind: str,
    name: str,
    *,
    configs: Sequence[Options] = (),
    data: Source | None = None,
    checkpoint: Source | None = None,
    targets: Callable[..., Any] | None = None,
) -> tuple[Case, ...]:
    """The checks of one installed component.

    Args:
        kind: Such as ``adapter``.
        name: Such as ``gate``; ``provider/name`` if two plugins have it.
        configs: Options to check it with, beside its defaults.
        data: Data folder of a task.
        checkpoint: Checkpoint of a loader.
        targets: What makes the targets of a head; see ``conformance``.

    Raises:
        PluginError: If there is no such component.
    """
    entry = load_registry().get(kind, name)
    run = LightRun(entry.provider, _entry_points(entry.provider))
    material = Material(data, checkpoint, targets)
    return tuple(_cases_of(_component(entry, configs, material, run)))


def checks_of_spec(
    spec: Spec, *, configs: Sequence[Options] = (), material: Material | None = None
) -> tuple[Case, ...]:
    """The checks of a component that is not installed; those that need a plugin are left out."""
    described = f'{spec.kind} "{spec.name}"'
    return tuple(_cases_of(_Component(spec, described, configs, material or Material())))


def _cases_of(component: _Component) -> Iterator[Case]:
    from bertmod.testing.suites import COMPONENT_CHECKS, SUITES

    general = COMPONENT_CHECKS if component.light is not None else ()
    for check in (*general, *SUITES[component.spec.kind]):
        run = partial(_run, check, component)
        yield Case(f"{component.id}-{check.__name__}", run)


def _run(check: Check, component: _Component) -> None:
    """Run a check with every set of options; whatever goes wrong becomes an AssertionError."""
    from bertmod.testing.suites import COMPONENT_CHECKS, quiet

    __tracebackhide__ = True
    contract = " ".join((check.__doc__ or "").split())
    options: Options = {}
    try:
        if check in COMPONENT_CHECKS:
            check(component.spec, component.light)
            return
        for subject in subjects(component.spec, component.examples, component.material):
            options = subject.options
            with quiet():
                check(subject)
    except Exception as error:
        told = type(error) is AssertionError
        what = str(error) if told else f"{type(error).__name__}: {error}"
        raise AssertionError(
            f"{component.described} with {_shown(options)}: {what}\n  the contract: {contract}"
        ) from (None if told else error)


def _shown(options: Options) -> str:
    return f"options {shown(options)}" if options else "its default options"


@dataclass(frozen=True)
class _Given:
    """What an author gave for the components of a distribution."""

    configs: Configs
    data: Sources
    checkpoint: Sources
    targets: Mapping[str, Callable[..., Any]]

    def component(self, entry: Entry[Spec], run: LightRun) -> _Component:
        names = (f"{entry.spec.kind}-{entry.spec.name}", entry.spec.name)
        examples = next((self.configs[name] for name in names if name in self.configs), ())
        material = Material(
            data=_of(self.data, names),
            checkpoint=_of(self.checkpoint, names),
            targets=next((self.targets[name] for name in names if name in self.targets), None),
        )
        return _component(entry, examples, material, run)

    def misnamed(self, entries: Sequence[Entry[Spec]]) -> Iterator[Case]:
        """A failing case for every name that is no component's."""
        known = {entry.spec.name for entry in entries}
        known |= {f"{entry.spec.kind}-{entry.spec.name}" for entry in entries}
        given = {"configs": self.configs, "targets": self.targets}
        given |= {
            key: value
            for key, value in (("data", self.data), ("checkpoint", self.checkpoint))
            if isinstance(value, Mapping)
        }
        for argument, names in given.items():
            for name in names:
                if entries and name not in known:
                    what = f'{argument} names "{name}", which is no component of this distribution'
                    more = f"{did_you_mean(name, known)} (it has: {listed(sorted(known))})"
                    yield _failing(f"{argument}-{name}", what + more)


def _component(
    entry: Entry[Spec], examples: Sequence[Options], material: Material, run: LightRun
) -> _Component:
    spec = entry.spec
    if spec.kind == "loader" and material.checkpoint is not None:
        run.checkpoints[spec.name] = partial(located, material.checkpoint)
    run.examples[f"{spec.kind}-{spec.name}"] = examples
    return _Component(spec, entry.described, examples, material, run)


def _of(sources: Sources, names: Sequence[str]) -> Source | None:
    if not isinstance(sources, Mapping):
        return sources
    return next((sources[name] for name in names if name in sources), None)


def _entries(registry: Registry) -> Iterator[Entry[Spec]]:
    from bertmod.registry import KINDS

    for kind in KINDS:
        yield from registry.entries(kind)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed_name(distribution: str, registry: Registry) -> str:
    """The distribution's name as it spells it itself."""
    names = {_plain(plugin.distribution): plugin.distribution for plugin in registry.plugins}
    return names.get(_plain(distribution), distribution)


def _entry_points(distribution: str) -> tuple[str, ...]:
    points = importlib.metadata.entry_points(group=GROUP)
    return tuple(point.name for point in points if point.dist and point.dist.name == distribution)


def _not_loaded(written: str, name: str, registry: Registry, provides: bool) -> Iterator[Case]:
    """Failing cases for plugins that did not load, and for a distribution without components."""
    own = [plugin for plugin in registry.plugins if plugin.distribution == name]
    for plugin in own:
        if plugin.state == "failed":
            yield _failing(f"plugin-{plugin.name}-loads", plugin.failure)
        elif plugin.state == "switched off":
            what = f"plugin {plugin.name} of {name} is switched off by BERTMOD_PLUGINS"
            yield _failing(f"plugin-{plugin.name}-loads", what)
    if not own:
        others = sorted({plugin.distribution for plugin in registry.plugins})
        what = f'no plugin of a distribution called "{written}"{did_you_mean(written, others)}'
        hint = 'install it (pip install -e .) with an entry point of the group "bertmod"'
        yield _failing("installed", f"{what}\n  found: {listed(others)}\n  {hint}")
    elif not provides and all(plugin.state == "loaded" for plugin in own):
        yield _failing("provides", f"{name} has a plugin, but its hooks yield no component")


def _chosen(found: Sequence[Case], only: str | Sequence[str] | None) -> tuple[Case, ...]:
    if only is None:
        return tuple(found)
    patterns = [only] if isinstance(only, str) else list(only)
    failures = [case for case in found if isinstance(case.check, _Failure)]
    chosen = [case for case in found if any(fnmatchcase(case.id, each) for each in patterns)]
    if not chosen and not failures:
        what = f"only={patterns} matches no check; ids look like {found[0].id}"
        return (_failing("only", what),)
    return tuple(dict.fromkeys([*failures, *chosen]))


@dataclass(frozen=True)
class _Failure:
    """A check that fails whatever happens: there is nothing to examine."""

    what: str

    def __call__(self) -> None:
        raise AssertionError(self.what)


def _failing(id_: str, what: str) -> Case:
    return Case(id_, _Failure(what))
