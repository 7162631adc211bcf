"""The page on every installed component with its options."""

from __future__ import annotations

from bertmod.registry import KINDS, Entry, Registry
from bertmod.specs import AdapterSpec, EncoderSpec, HeadSpec, Spec, TaskSpec
from reference_pages.markdown import code, escaped, options_table, page

INTRO = """
Everything that ships with bertmod, by kind. In a recipe a component is an object whose `name` picks
it; its options stand beside the name, and so do the [slot keys](recipe.md#slot-keys) of its kind,
which every component of the kind takes. `bertmod list` and `bertmod show KIND NAME` print the same
for what is installed on your machine, plugins of others included.
"""


def components_page(registry: Registry) -> str:
    """Every component that bertmod itself provides."""
    parts = [INTRO]
    for kind in KINDS:
        entries = [entry for entry in registry.entries(kind) if entry.provider == "bertmod"]
        if entries:
            parts.append(f"## {kind.capitalize()}s")
            parts += [_component(entry) for entry in entries]
    return page("Components", *parts)


def _component(entry: Entry[Spec]) -> str:
    spec = entry.spec
    lines = [f"### {code(spec.name)} {{ #{spec.kind}-{spec.name} }}", escaped(spec.summary)]
    facts = [f"Provider: {code(entry.provider)}."]
    if spec.source:
        facts.append(f"Source: {escaped(spec.source.rstrip('.'))}.")
    lines += [" ".join([*facts, *_facts(spec)]), options_table(spec.config)]
    return "\n\n".join(lines)


def _facts(spec: Spec) -> list[str]:
    """What the light functions say of a component at its defaults, where it has them all."""
    if any(field.is_required() for field in spec.config.model_fields.values()):
        return []
    config = spec.config()
    match spec:
        case EncoderSpec():
            return [f"Sites: {_names(spec.shape(config).sites)}; see [sites](sites.md)."]
        case HeadSpec():
            return [
                f"Reads: {_names(spec.want(config))}.",
                f"Targets: {_names(spec.targets(config))}.",
            ]
        case TaskSpec():
            return _task_facts(spec, config)
        case AdapterSpec():
            return []
    return []


def _task_facts(spec: TaskSpec, config: object) -> list[str]:
    splits = ", ".join(f"{code(name)} ({role})" for name, role in spec.splits(config).items())
    metrics = dict.fromkeys(name for names in spec.metrics(config).values() for name in names)
    scored = f"Metrics: {_names(metrics, keep_order=True)}." if metrics else "Not scored."
    return [f"Splits: {splits}.", scored]


def _names(names: object, *, keep_order: bool = False) -> str:
    listed = list(names) if keep_order else sorted(names)  # type: ignore[call-overload]
    return " ".join(code(name) for name in listed)
