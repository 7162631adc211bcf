"""Look inside the one wheel of a folder: what a user needs is there, and nothing else.

python tools/check_wheel.py FOLDER
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def problems(wheel: Path) -> list[str]:
    """What is missing from a wheel, and what does not belong in it."""
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "bertmod").rglob("*.py")}
    wanted |= {
        f"bertmod/{path.relative_to(ROOT).as_posix()}"
        for path in (ROOT / "recipes").rglob("*.json")
    }
    templates = ROOT / "plugins" / "template"
    wanted |= {
        f"bertmod/plugin_template/{path.relative_to(templates).as_posix()}"
        for path in templates.rglob("*")
        if path.is_file()
    }
    wanted |= {"bertmod/py.typed", "bertmod/recipe.schema.json"}
    top = {name.split("/")[0] for name in names}
    foreign = sorted(name for name in top if name != "bertmod" and not name.endswith(".dist-info"))
    found = [f"missing: {name}" for name in sorted(wanted - names)]
    found += [f"does not belong: {name}" for name in foreign]
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        found.append("missing: the licence")
    return found


def main() -> int:
    """Check the wheel of the folder named on the command line; returns the exit status."""
    wheels = list(Path(sys.argv[1]).glob("*.whl"))
    if len(wheels) != 1:
        print(f"{sys.argv[1]}: expected one wheel, found {len(wheels)}")
        return 1
    found = problems(wheels[0])
    print("\n".join(found) or f"{wheels[0].name}: complete")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
