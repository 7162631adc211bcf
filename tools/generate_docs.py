"""Write, or compare, the committed text that comes from the code.

python tools/generate_docs.py            rewrites what is out of date
python tools/generate_docs.py --check    names what is out of date and ends with status 1
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Other people's plugins on this machine are none of the reference's business.
os.environ["BERTMOD_PLUGINS"] = ""
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]


def generated() -> dict[str, str]:
    """Path inside the checkout to what its text should be."""
    from reference_pages.commands import cli_page
    from reference_pages.components import components_page
    from reference_pages.hooks import errors_page, hooks_page
    from reference_pages.parameters import parameters_page
    from reference_pages.recipe import recipe_page
    from reference_pages.sites_picture import sites_picture

    from bertmod.recipe.report import recipe_schema
    from bertmod.registry import load_registry

    registry = load_registry(strict=True)
    schema = json.dumps(recipe_schema(registry), indent=2, ensure_ascii=False) + "\n"
    return {
        "docs/reference/recipe.md": recipe_page(),
        "docs/reference/components.md": components_page(registry),
        "docs/reference/cli.md": cli_page(registry),
        "docs/reference/hooks.md": hooks_page(),
        "docs/reference/errors.md": errors_page(),
        "docs/reference/parameters.md": parameters_page(registry),
        "docs/assets/sites.svg": sites_picture(registry),
        "recipe.schema.json": schema,
    }


def difference(path: str, old: str, new: str) -> str:
    """The first lines in which the committed text differs from what it should be."""
    lines = difflib.unified_diff(
        old.splitlines(), new.splitlines(), f"{path} (committed)", f"{path} (from the code)", n=1
    )
    return "\n".join(list(lines)[:20])


def main() -> int:
    """Rewrite or compare; returns the exit status."""
    check = sys.argv[1:] == ["--check"]
    stale = 0
    for name, text in generated().items():
        path = ROOT / name
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        stale += 1
        if check:
            print(difference(name, old, text))
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    if check and stale:
        print(f"\n{stale} out of date: run `make generated` and commit the result")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
