"""Writes the list of what is in the image, as CycloneDX 1.6 in JSON: `python sbom.py FOLDER... > genset.cdx.json`.

Each FOLDER holds packages of Python, below it or in a virtual environment's site-packages; packages of Debian are read from
/var/lib/dpkg. The same image gives the same bytes: no time, and a serial number made of the content. Standard library only, as
it runs in the image's base. A package of Python that the lock file does not name ends it: then the image is not what was locked.
With --release, an image that it is made over by a tag ends it, too: tags move, and nobody could say what was released.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any
from urllib.parse import quote

OURS = "genset"
DPKG = Path("var/lib/dpkg/status")
OS_RELEASE = Path("etc/os-release")
_SPDX = re.compile(r"[A-Za-z0-9][-A-Za-z0-9.+]*( (AND|OR|WITH) [A-Za-z0-9][-A-Za-z0-9.+]*)*")
_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_SERIALS = uuid.UUID("6f2b7f0e-6d6b-5c1e-9a60-0f5f3a1d7c11")  # a namespace for UUIDs of version 5
Component = dict[str, Any]


def bill(folders: Iterable[Path], root: Path, base: str, locked: Mapping[str, set[str]]) -> dict[str, Any]:
    """Returns the document. Raises ValueError if something is installed that is not locked (`locked`: name -> versions)."""
    found = sorted(_installed(folders), key=_name)
    own = next((one for one in found if _name(one) == OURS), None)
    packages = [one for one in found if one is not own]
    for one in packages:
        known = locked.get(_name(one), set())
        if one.version not in known:
            there = ", ".join(sorted(known)) or "none of it"
            raise ValueError(f"{_name(one)} {one.version} is installed, but the lock file has {there}")
    refs = {_name(one): _purl(one) for one in found}
    components = [_component(one) for one in packages]
    components += [_debian(entry, root) for entry in _entries(root / DPKG)]
    if base:
        components.append({"type": "container", "bom-ref": f"base:{base}", "name": base})
    subject = {"type": "container", "bom-ref": OURS, "name": OURS, "version": own.version if own else "0"}
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
        "dependencies": [
            {"ref": OURS, "dependsOn": _needs(own, refs) if own else []},
            *({"ref": refs[_name(one)], "dependsOn": _needs(one, refs)} for one in packages),
        ],
    }
    serial = uuid.uuid5(_SERIALS, json.dumps(document, sort_keys=True))
    return {**document, "serialNumber": f"urn:uuid:{serial}"}


def not_for_release(document: Component, version: str, bases: Mapping[str, str]) -> list[str]:
    """Returns why this is no image of the release `version`, a sentence each. `bases`: build argument -> what it names."""
    made = document["metadata"]["component"]["version"]
    wrong = [] if made == version else [f"RELEASE is {version}, and the source is of {made}: correct one of them"]
    return wrong + [
        f"{argument} is {named or 'not given'}, which may be another image tomorrow: name it as NAME@sha256:DIGEST"
        for argument, named in bases.items()
        if not _DIGEST.fullmatch(named)
    ]


def locked_versions(text: str) -> dict[str, set[str]]:
    """Reads a lock file: name -> versions, of which markers choose one."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==([^\s;\\]+)", text, re.M):
        found.setdefault(normal(name), set()).add(version)
    return found


def normal(name: str) -> str:
    """Returns a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(folders: Iterable[Path]) -> Iterator[Distribution]:
    for folder in folders:
        inner = [str(path) for path in folder.glob("lib/python3.*/site-packages")]
        yield from distributions(path=inner or [str(folder)])


def _name(one: Distribution) -> str:
    return normal(one.metadata["Name"])


def _purl(one: Distribution) -> str:
    return f"pkg:pypi/{_name(one)}@{quote(one.version)}"


def _component(one: Distribution) -> Component:
    made: Component = {
        "type": "library",
        "bom-ref": _purl(one),
        "name": one.metadata["Name"],
        "version": one.version,
        "purl": _purl(one),
    }
    expression = one.metadata.get("License-Expression") or ""
    words = (one.metadata.get("License") or "").strip().splitlines()
    if expression and _SPDX.fullmatch(expression):
        made["licenses"] = [{"expression": expression}]
    elif expression or words:
        made["licenses"] = [{"license": {"name": (expression or words[0])[:200]}}]
    return made


def _needs(one: Distribution, refs: Mapping[str, str]) -> list[str]:
    """Returns those that are there of what a package may need, whatever its markers say."""
    names = (re.match(r"[A-Za-z0-9._-]+", text) for text in one.requires or ())
    return sorted({refs[normal(name[0])] for name in names if name is not None and normal(name[0]) in refs})


def _entries(status: Path) -> Iterator[dict[str, str]]:
    """Yields the packages of Debian that are installed, by their fields."""
    text = status.read_text(errors="replace") if status.is_file() else ""
    for paragraph in text.split("\n\n"):
        entry = dict(re.findall(r"^(Package|Version|Architecture|Status): (.+)$", paragraph, re.M))
        if entry.get("Status", "").endswith(" installed"):
            yield entry


def _debian(entry: Mapping[str, str], root: Path) -> Component:
    release = (root / OS_RELEASE).read_text() if (root / OS_RELEASE).is_file() else ""
    codename = next(iter(re.findall(r"^VERSION_CODENAME=(\S+)$", release, re.M)), "")
    distro = f"&distro={codename}" if codename else ""
    name, version = quote(entry["Package"]), quote(entry["Version"], safe="")
    purl = f"pkg:deb/debian/{name}@{version}?arch={entry['Architecture']}{distro}"
    return {"type": "library", "bom-ref": purl, "name": entry["Package"], "version": entry["Version"], "purl": purl}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="where packages of Python lie")
    parser.add_argument("--root", type=Path, default=Path("/"), help="file system of the image")
    parser.add_argument("--base", default="", help="reference of the image that it is made over, best with a digest")
    parser.add_argument("--builder", default="", help="reference of the image that compiles it, best with a digest")
    parser.add_argument("--release", default="", help="version that is released: both references need a digest then")
    parser.add_argument("--lock", type=Path, required=True, help="lock file of the packages")
    given = parser.parse_args()
    try:
        document = bill(given.folders, given.root, given.base, locked_versions(given.lock.read_text()))
    except ValueError as problem:
        sys.exit(f"sbom: {problem}")
    bases = {"BASE": given.base, "BUILDER": given.builder}
    if given.release and (told := not_for_release(document, given.release, bases)):
        sys.exit("\n".join(f"sbom: {sentence} (docs/release.md)" for sentence in told))
    json.dump(document, sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
