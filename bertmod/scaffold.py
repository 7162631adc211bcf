"""A new plugin's distribution, rendered from the templates that ship with bertmod.

The templates of a kind lie in a folder of its name; ``shared`` holds what all kinds have. A file
of a kind takes the place of the shared file of the same path. In paths ``PACKAGE`` and ``NAME``
stand for the package and the component. Files that do not end in ``.jinja`` are parts of others.
"""

from __future__ import annotations

import builtins
import importlib.util
import json
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bertmod
from bertmod.data.durable import write_folder
from bertmod.errors import PluginError
from bertmod.plugins import RESERVED
from bertmod.registry import Registry
from bertmod.wording import article

SUFFIX = ".jinja"
SHARED = "shared"
LONGEST_NAME = 24
"""Longest name of a component, characters: generated lines stay within 100 columns."""

IMPORTED = frozenset(
    (
        *("Any", "Config", "Counter", "Field", "Iterator", "Layer", "Mapping", "Optimizer"),
        *("Path", "Piece", "Sequence", "Tensor", "Visits"),
    )
)
"""Classes that templates have beside a component's own, which is called otherwise."""

_PACKAGE = Path(bertmod.__file__).parent


@dataclass(frozen=True)
class NewPlugin:
    """What a new plugin and its parts are called.

    Attributes:
        kind: Kind of its component, singular.
        name: Registered name of its component, ``lower_snake``.
    """

    kind: str
    name: str

    @property
    def distribution(self) -> str:
        """Name of the distribution: ``bertmod-my-gate``."""
        return f"bertmod-{self.name.replace('_', '-')}"

    @property
    def package(self) -> str:
        """Name of the Python package: ``bertmod_my_gate``."""
        return f"bertmod_{self.name}"

    @property
    def class_name(self) -> str:
        """The name as a class has it: ``MyGate``."""
        return "".join(part.capitalize() for part in self.name.split("_"))


def templates_folder() -> Path | None:
    """The folder of the templates: in the package, or in a checkout's ``plugins``."""
    for folder in (_PACKAGE / "plugin_template", _PACKAGE.parent / "plugins" / "template"):
        if folder.is_dir():
            return folder
    return None


def new_plugin(kind: str, name: str, registry: Registry) -> NewPlugin:
    """The names of a new plugin, once it is clear that nothing else has them.

    Args:
        kind: Kind of its component, singular or plural.
        name: Name of its component.
        registry: What is installed.

    Raises:
        PluginError: If there is no such kind, or the name cannot be used; says what to write.
    """
    plugin = NewPlugin(registry.kind(kind), name)
    _require_spelling(plugin)
    _require_free(plugin, registry)
    return plugin


def write_plugin(plugin: NewPlugin, target: Path) -> tuple[Path, ...]:
    """Render a distribution into a new folder; a failure leaves nothing behind.

    Args:
        plugin: What it is called.
        target: The folder to make; its parent exists.

    Returns:
        The files, relative to the folder, in order.

    Raises:
        PluginError: If the folder is there already, its parent is not, or it cannot be made.
    """
    if target.exists() or target.is_symlink():
        raise PluginError(
            f"{target} exists already, and is left as it is\n    give another folder: --output DIR"
        )
    if not target.absolute().parent.is_dir():
        raise PluginError(f"{target}: there is no folder {target.parent}\n    make it first")
    rendered = dict(render(plugin))
    try:
        with write_folder(target) as folder:
            for path, text in rendered.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise PluginError(f"{target}: cannot be made: {error.strerror or error}") from error
    return tuple(rendered)


def render(plugin: NewPlugin) -> Iterator[tuple[Path, str]]:
    """Path inside the distribution and text of every file, in the order of the paths.

    Raises:
        PluginError: If this installation of bertmod has no templates.
    """
    # Rendering is for one command alone; the others start without the library.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = templates_folder()
    if folder is None:
        raise PluginError("this installation of bertmod has no templates: install it again")
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    values = _values(plugin, folder)
    for path, template in sorted(_templates(plugin, folder).items()):
        yield Path(path), environment.get_template(template).render(values)


def _templates(plugin: NewPlugin, folder: Path) -> dict[str, str]:
    """Path inside the distribution to the template, as seen from the templates' folder."""
    found = {}
    for part in (SHARED, plugin.kind):
        for file in (folder / part).rglob(f"*{SUFFIX}"):
            inside = file.relative_to(folder / part).as_posix().removesuffix(SUFFIX)
            path = inside.replace("PACKAGE", plugin.package).replace("NAME", plugin.name)
            found[path] = file.relative_to(folder).as_posix()
    return found


def _values(plugin: NewPlugin, folder: Path) -> Mapping[str, Any]:
    """What templates may name."""
    about = json.loads((folder / plugin.kind / "kind.json").read_text(encoding="utf-8"))
    return {
        "kind": plugin.kind,
        "a_kind": article(plugin.kind),
        "name": plugin.name,
        "distribution": plugin.distribution,
        "package": plugin.package,
        "class_name": plugin.class_name,
        "version": bertmod.__version__,
        "contract": bertmod.CONTRACT,
        **about,
    }


def _require_spelling(plugin: NewPlugin) -> None:
    """Refuse names that cannot be those of a component, a package and a class."""
    name = plugin.name
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        better = _spelled(name)
        hint = f'write "{better}"' if better else 'begin with a letter, such as "my_gate"'
        raise PluginError(
            f'"{name}" is not lower_snake: small letters, digits, single _\n    {hint}'
        )
    if len(name) > LONGEST_NAME:
        count = f"{len(name)} characters, {LONGEST_NAME} at most"
        raise PluginError(f'"{name}" is too long: {count}\n    choose a shorter name')
    if name.startswith("bertmod_"):
        better = name.removeprefix("bertmod_")
        what = f"the distribution would be called {plugin.distribution}"
        raise PluginError(f'"{name}" repeats the project\'s name: {what}\n    write "{better}"')
    if keyword.iskeyword(name) or name in RESERVED.get(plugin.kind, ()):
        owner = "Python" if keyword.iskeyword(name) else "recipes"
        more = f'choose another name, such as "my_{name}"'
        raise PluginError(f'"{name}" means something else in {owner}\n    {more}')
    if plugin.class_name in {*bertmod.__all__, *IMPORTED, *dir(builtins)}:
        what = f"its class would be called {plugin.class_name}, and that is another's name"
        raise PluginError(f'"{name}": {what}\n    choose another name, such as "my_{name}"')


def _spelled(name: str) -> str:
    """The nearest name in lower_snake; empty if nothing is left."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return re.sub(r"[^a-z0-9]+", "_", apart).strip("_0123456789")


def _require_free(plugin: NewPlugin, registry: Registry) -> None:
    """Refuse names that an installed component or package has."""
    owners = [entry for entry in registry.entries(plugin.kind) if entry.spec.name == plugin.name]
    if owners:
        entry = owners[0]
        what = f'{article(plugin.kind)} called "{plugin.name}" is installed already'
        raise PluginError(
            f"{what}: {entry.full_name} {entry.version}\n"
            f"    choose another name; bertmod list {plugin.kind} shows those that are taken"
        )
    if importlib.util.find_spec(plugin.package) is not None:
        raise PluginError(
            f"a Python package called {plugin.package} is installed already\n"
            "    choose another name, or uninstall it"
        )
