"""Files that are generated and committed: `python tools/generated.py [--check] [crds] [chart] [manifests] [docs]`.

Without names: all of them. With --check nothing is written; the exit status tells whether one is behind its source.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from genset.api.accelerator import VENDORS
from genset.api.crd import definitions
from genset.cli.crds import render
from genset.engines import MANAGED

ROOT = Path(__file__).resolve().parent.parent
Files = dict[Path, str]


def script(path: str) -> ModuleType:
    """A module by its file, outside any package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def crds() -> Files:
    texts = {name: render(definition) for name, definition in definitions().items()}
    folders = (ROOT / "crds", ROOT / "charts" / "genset" / "files" / "crds")
    return {folder / name: text for folder in folders for name, text in texts.items()}


def chart() -> Files:
    """The schema of the chart's values is written by hand, apart from the engines that there are."""
    path = ROOT / "charts" / "genset" / "values.schema.json"
    schema = json.loads(path.read_text())
    images = _map_of(VENDORS, {"type": "string", "pattern": r"^(\S+)?$", "maxLength": 512})
    settings = {"type": "object", "additionalProperties": False, "properties": {"images": images}}
    schema["properties"]["engines"] = _map_of(MANAGED, settings)
    return {path: json.dumps(schema, indent=2, ensure_ascii=False) + "\n"}


def _map_of(keys: Iterable[str], value: dict[str, Any]) -> dict[str, Any]:
    """A map with these keys alone; `enum` has Helm's error name them."""
    return {"type": "object", "propertyNames": {"enum": list(keys)}, "additionalProperties": value}


def manifests() -> Files:
    return {ROOT / "manifests" / "install.yaml": script("manifests/render.py").render()}


def docs() -> Files:
    pages = script("docs/reference/generate.py").pages()
    observability, limits = script("tools/observability.py"), script("tools/limits.py")
    command_line, shapes = script("tools/command_line.py"), script("tools/shapes.py")
    chart_values = script("tools/chart_values.py")
    return {
        **{ROOT / "docs" / "reference" / name: text for name, text in pages.items()},
        observability.PAGE: observability.page(),
        observability.LEDGER_PAGE: observability.ledger_page(),
        limits.PAGE: limits.page(),
        shapes.PAGE: shapes.page(),
        command_line.PAGE: command_line.page(),
        chart_values.PAGE: chart_values.page(),
    }


def dashboards() -> Files:
    return script("tools/dashboards.py").files()


KINDS: dict[str, Callable[[], Files]] = {
    "crds": crds,
    "chart": chart,
    "manifests": manifests,
    "docs": docs,
    "dashboards": dashboards,
}  # in this order: one feeds the next


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    chosen = [item for item in arguments if item != "--check"] or list(KINDS)
    if unknown := set(chosen) - set(KINDS):
        print(f"There is nothing called {', '.join(sorted(unknown))}; choose from {', '.join(KINDS)}", file=sys.stderr)
        return 2
    behind = []
    for kind in chosen:
        for path, text in KINDS[kind]().items():
            if path.exists() and path.read_text() == text:
                continue
            behind.append(path)
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
    for path in behind:
        print(f"{'Behind its source' if check else 'Wrote'}: {path.relative_to(ROOT)}")
    if check and behind:
        print("Run: make crds manifests docs", file=sys.stderr)
    return 1 if check and behind else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
