"""A recipe while it is being resolved: halves of slots, and what is wrong so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from bertmod.contracts.checkpoint import CheckpointDescription
from bertmod.contracts.encoder import EncoderShape
from bertmod.errors import BertmodError, PluginError, Problem, RecipeError
from bertmod.recipe.accepted import has_format
from bertmod.recipe.load import RawRecipe
from bertmod.recipe.paths import Path, path_text, positions, whole_path
from bertmod.recipe.schema import AUTO, DEFAULT_SLOTS, RecipeKeys, slot_model
from bertmod.recipe.validate import Finding, json_schema, validate
from bertmod.registry import Entry, Registry, UnknownNameError
from bertmod.wording import article, did_you_mean, listed, shown

ArgsT = ParamSpec("ArgsT")
AnswerT = TypeVar("AnswerT")

FROM_CHECKPOINT = "checkpoint"
"""Source of a problem with a value that the checkpoint gave."""


@dataclass
class Half:
    """A slot of which some parts may be wrong.

    Attributes:
        kind: Kind of its component.
        path: Where it is.
        written: The name as written, or empty.
        entry: Its component; None if the name stands for none.
        options: The options as written, file paths absolute.
        config: The options, validated; None if any is wrong.
        keys: The slot keys, validated, defaults where one is wrong; None only for no slot.
        wrong: Slot keys with something wrong in them.
        taken: Options that the checkpoint gave.
    """

    kind: str
    path: Path
    written: str = ""
    entry: Entry[Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    config: Any = None
    keys: Any = None
    wrong: frozenset[str] = frozenset()
    taken: set[str] = field(default_factory=set)

    @property
    def id(self) -> str:
        """The ``id`` it states, else its name."""
        stated = getattr(self.keys, "id", None)
        return stated or (self.entry.spec.name if self.entry else self.written.split("/")[-1])

    @property
    def spec(self) -> Any:
        """Its component's record; only for a slot whose component is known."""
        assert self.entry is not None
        return self.entry.spec

    @property
    def label(self) -> str:
        """Kind and name, for messages."""
        return f'{self.kind} "{self.entry.spec.name if self.entry else self.written}"'

    @property
    def described(self) -> str:
        """Kind, name and provider, for messages about a plugin."""
        return self.entry.described if self.entry else self.label

    def ready(self) -> bool:
        """Whether the component is known and its options are right."""
        return self.entry is not None and self.config is not None

    def ask(
        self, function: Callable[ArgsT, AnswerT], *args: ArgsT.args, **kwargs: ArgsT.kwargs
    ) -> AnswerT:
        """What a function of the component's spec answers.

        Raises:
            PluginError: If it fails for another reason than the user's input.
        """
        try:
            return function(*args, **kwargs)
        except BertmodError:
            raise
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"
            raise PluginError(f"{self.described} failed while it was checked: {cause}") from error

    def broken(self, what: str) -> PluginError:
        """The error for a component whose spec gives what no spec may give."""
        return PluginError(f"{self.described} breaks the contract: {what}")


@dataclass
class Draft:
    """A recipe while it is being resolved.

    Attributes:
        raw: The recipe as written.
        registry: What is installed.
        keys: The envelope, defaults where something is wrong.
        wrong: Top-level keys of the envelope with something wrong in them.
        checkpoint: The loader's slot; None for training from scratch.
        description: What the checkpoint says; None without one, or if it could not be read.
        encoder: Encoder.
        tokenizer: Tokenizer.
        shape: The encoder's shape, if it could be found out.
        tasks: Tasks.
        heads: For each task its head; None if it borrows one or has none that is known.
        adapters: Adapters.
        sampler: Sampler.
        optimizer: Optimizer.
        schedule: Schedule.
        trackers: Trackers.
        notes: Which loader was found, and what the command line replaced.
    """

    raw: RawRecipe
    registry: Registry
    keys: RecipeKeys = field(default_factory=RecipeKeys)
    wrong: frozenset[str] = frozenset()
    checkpoint: Half | None = None
    description: CheckpointDescription | None = None
    encoder: Half = field(default_factory=lambda: Half("encoder", ("encoder",)))
    tokenizer: Half = field(default_factory=lambda: Half("tokenizer", ("tokenizer",)))
    shape: EncoderShape | None = None
    tasks: list[Half] = field(default_factory=list)
    heads: list[Half | None] = field(default_factory=list)
    adapters: list[Half] = field(default_factory=list)
    sampler: Half = field(default_factory=lambda: Half("sampler", ("sampler",)))
    optimizer: Half = field(default_factory=lambda: Half("optimizer", ("optimizer",)))
    schedule: Half = field(default_factory=lambda: Half("schedule", ("schedule",)))
    trackers: list[Half] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _found: list[tuple[Finding, str | None]] = field(default_factory=list)

    def add(self, path: Path, what: str, *more: str, source: str | None = None) -> None:
        """Note a problem; ``source`` replaces where the value is known to come from."""
        self._found.append((Finding(path, what, more), source))

    def adopt(
        self, path: Path, problems: Iterable[Problem], *, taken: Collection[str] = ()
    ) -> bool:
        """Note problems that a component found in itself; whether there were any.

        Options in ``taken`` came from the checkpoint.
        """
        known = len(self._found)
        for problem in problems:
            inner = whole_path(problem.path) if problem.path else ()
            source = FROM_CHECKPOINT if inner and inner[0] in taken else None
            self.add((*path, *inner), problem.what, *problem.more, source=source)
        return len(self._found) > known

    def raise_if_wrong(self) -> None:
        """Raise all problems in the order of the file."""
        if not self._found:
            return
        order = positions(self.raw.values)

        def place(item: tuple[Finding, str | None]) -> float:
            path = item[0].path
            known = (path[:length] for length in range(len(path), 0, -1))
            return next((order[part] for part in known if part in order), math.inf)

        problems = [
            Problem(
                path_text(finding.path),
                finding.what,
                finding.more,
                self.raw.origin(finding.path).label if source is None else source,
            )
            for finding, source in sorted(self._found, key=place)
        ]
        raise RecipeError(self.raw.title, problems)

    def value(self, key: str) -> Any:
        """What the recipe has at a top-level key, else the default."""
        return self.raw.values.get(key, DEFAULT_SLOTS.get(key))

    def slot(self, kind: str, value: Any, path: Path, *, near: str | None = None) -> Half:
        """Read a slot: find its component, split options from slot keys, check the keys."""
        half = Half(kind, path)
        if not isinstance(value, dict):
            example = json_name(value) if isinstance(value, str) else '{"name": ...}'
            self.add(path, f"expected an object, not {shown(value)}", f"for example {example}")
            value = {}
        else:
            half.written, half.entry = self._component(kind, value, path, near)
        model = slot_model(kind)
        known = {key: value[key] for key in value if key in model.model_fields}
        checked = validate(model, known, owner=half.label)
        for finding in checked.findings:
            self.add((*path, *finding.path), finding.what, *finding.more)
        half.keys, half.wrong = checked.value, checked.wrong
        rest = {key: value[key] for key in value if key not in known and key != "name"}
        half.options = self._absolute(half, rest) if half.entry else rest
        return half

    def _component(
        self, kind: str, value: Mapping[str, Any], path: Path, near: str | None
    ) -> tuple[str, Entry[Any] | None]:
        name = value.get("name")
        where = (*path, "name")
        names = self.registry.names(kind)
        available = f"available: {listed((AUTO, *names) if kind == 'loader' else names)}"
        if name is None:
            self.add(where, f"missing: which {kind} is it?", available)
            return "", None
        if not isinstance(name, str):
            self.add(where, f"expected the name of {article(kind)}, not {shown(name)}", available)
            return "", None
        if (kind, name) == ("loader", AUTO):
            return name, None
        try:
            return name, self.registry.get(kind, name, near=near)
        except UnknownNameError as error:
            what = error.what
            if kind == "loader" and "did you mean" not in what:
                what += did_you_mean(name, [AUTO])
            self.add(where, what, *error.more)
        return name, None

    def _absolute(self, half: Half, options: dict[str, Any]) -> dict[str, Any]:
        """Options with file paths made absolute."""
        assert half.entry is not None
        model = half.entry.spec.config
        return {
            key: self.absolute((*half.path, key), value)
            if key in path_options(half.kind, model)
            else value
            for key, value in options.items()
        }

    def absolute(self, path: Path, value: Any) -> Any:
        """A file path, or every one in a list or object, made absolute."""
        if isinstance(value, str):
            return self.raw.absolute(path, value)
        if isinstance(value, list):
            return [self.absolute((*path, index), item) for index, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self.absolute((*path, key), item) for key, item in value.items()}
        return value

    def validate_options(self, half: Half) -> None:
        """Check a slot's options against its component's model, and among themselves."""
        if half.entry is None:
            return
        spec = half.entry.spec
        checked = validate(
            spec.config, half.options, owner=half.entry.described, also=spec.slot_keys
        )
        for finding in checked.findings:
            source = FROM_CHECKPOINT if finding.path and finding.path[0] in half.taken else None
            self.add((*half.path, *finding.path), finding.what, *finding.more, source=source)
        half.config = None if checked.findings else checked.value

    def check_options(self, half: Half, *args: Any) -> bool:
        """Whether the component's own check, if the options are right so far, finds nothing."""
        check = getattr(half.entry.spec, "check", None) if half.entry else None
        if not half.ready() or check is None:
            return half.ready()
        problems = half.ask(check, half.config, *args)
        return not self.adopt(half.path, problems, taken=half.taken)

    def full_slot(
        self, kind: str, value: Any, path: Path, *, near: str | None = None, check: bool = True
    ) -> Half:
        """Read a slot whose component needs nothing else to be checked."""
        half = self.slot(kind, value, path, near=near)
        self.validate_options(half)
        if check and not self.check_options(half):
            half.config = None
        return half

    def trained(self) -> list[Half]:
        """The tasks that train: those that borrow nothing."""
        return [task for task in self.tasks if task.keys.uses is None]

    def trained_ids(self) -> tuple[str, ...]:
        """Ids of the tasks that train, in the recipe's order."""
        return tuple(task.id for task in self.trained())


def json_name(name: str) -> str:
    """The shortest slot of a component."""
    return f'{{"name": {shown(name)}}}'


def path_options(kind: str, model: Any) -> frozenset[str]:
    """Options of a component that are file paths: those whose schema says so, and ``vocab``."""
    properties: Mapping[str, Any] = json_schema(model).get("properties", {})
    marked = {key for key, schema in properties.items() if has_format(schema, "path")}
    return frozenset(marked | ({"vocab"} if kind == "tokenizer" else set()))


def names_in(ids: Sequence[str]) -> str:
    """Ids in quotes, for messages."""
    return listed(f'"{name}"' for name in ids)
