"""``bertmod doctor``: what this machine has, and what that means for a run."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from bertmod.cli.invocation import invocation


def doctor(
    json_: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON; sizes are in bytes.")
    ] = False,
) -> None:
    """Show devices, fast precisions, cores, memory, versions and plugins, with advice."""
    from bertmod.machine.facts import examine
    from bertmod.machine.report import machine_json, render_machine

    machine = examine(invocation().registry)
    if json_:
        print(json.dumps(machine_json(machine), indent=2, ensure_ascii=False))
    else:
        print(render_machine(machine))
