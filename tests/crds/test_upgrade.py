"""An operator of the last release lives with the CRDs of this one: during an upgrade, and after a rollback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed import release

CRDS = Path(__file__).parents[2] / "crds"
Schema = dict[str, Any]


def schema(folder: Path, name: str) -> Schema:
    (version,) = yaml.safe_load((folder / name).read_text())["spec"]["versions"]
    found: Schema = version["schema"]["openAPIV3Schema"]
    return found


def filled(new: Schema, old: Schema, path: str) -> Iterator[str]:
    """Yields the fields that the API server fills in and that the old schema does not know."""
    for name, child in new.get("properties", {}).items():
        known = old.get("properties", {}).get(name)
        if known is not None:
            yield from filled(child, known, f"{path}.{name}")
        elif "default" in child:
            yield f"{path}.{name}"
    if "items" in new and "items" in old:
        yield from filled(new["items"], old["items"], f"{path}[]")


def lost(new: Schema, old: Schema, path: str) -> Iterator[str]:
    """Yields the fields of the old schema that the new one does not have: the API server would prune them."""
    for name, child in old.get("properties", {}).items():
        known = new.get("properties", {}).get(name)
        if known is None:
            yield f"{path}.{name}"
        else:
            yield from lost(known, child, f"{path}.{name}")
    if "items" in new and "items" in old:
        yield from lost(new["items"], old["items"], f"{path}[]")


@pytest.mark.parametrize("name", sorted(path.name for path in CRDS.glob("*.yaml")))
def test_fields_of_this_release_have_no_default_in_the_crd(name: str, tmp_path: Path) -> None:
    """The last release refuses a resource with a field that it does not know, whoever has filled it in."""
    old = schema(release.unpack(tmp_path) / "charts" / "genset" / "files" / "crds", name)
    new = schema(CRDS, name)["properties"]["spec"]
    assert list(filled(new, old["properties"]["spec"], "spec")) == [], "give these fields json_schema_extra=LATER"
    assert list(lost(new, old["properties"]["spec"], "spec")) == []
