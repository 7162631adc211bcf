"""``bertmod plugins``: what was found, and what became of it."""

from __future__ import annotations

from bertmod.cli.invocation import invocation
from bertmod.wording import table


def plugins() -> None:
    """Print distribution, version, entry point, state and cause of every plugin."""
    rows = [("distribution", "version", "entry point", "state", "cause")]
    for plugin in invocation().registry.plugins:
        rows.append((plugin.distribution, plugin.version, plugin.name, plugin.state, plugin.cause))
    for line in table(rows):
        print(line)
