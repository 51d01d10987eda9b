"""Asks a database of vulnerabilities about every locked version: `python tools/audit.py`, part of `make lint`.

One request to OSV (https://google.github.io/osv.dev/post-v1-querybatch/), which holds what pip-audit would ask for package by
package. Where it cannot be reached, the audit says so and passes: a build without internet is no reason to fail. Standard
library only. OSV_URL names a mirror.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from sbom import locked_versions

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-runtime.lock", "requirements-build.lock")
DATABASE = "https://api.osv.dev"
SECONDS = 8.0
#: What is known and does not concern us, by its id, with the reason. Goes as soon as a version without it is locked.
ACCEPTED: dict[str, str] = {}


class Unreachable(Exception):
    """The database could not be asked."""


def locked(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Returns every (package, version) of the lock files."""
    return sorted({(name, v) for text in texts for name, versions in locked_versions(text).items() for v in versions})


def known(packages: list[tuple[str, str]], url: str) -> dict[tuple[str, str], list[str]]:
    """Returns the ids of vulnerabilities by package. Raises Unreachable."""
    asked = [{"package": {"ecosystem": "PyPI", "name": name}, "version": version} for name, version in packages]
    request = urllib.request.Request(
        f"{url.rstrip('/')}/v1/querybatch",
        json.dumps({"queries": asked}).encode(),
        {"content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            results = json.loads(answer.read())["results"]
        found = [[str(one["id"]) for one in result.get("vulns") or ()] for result in results]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Unreachable(f"{url}: {problem}") from problem
    if len(found) != len(packages):
        raise Unreachable(f"{url} answered {len(found)} of {len(packages)} questions")
    return {package: ids for package, ids in zip(packages, found, strict=True) if ids}


def main() -> None:
    packages = locked((ROOT / name).read_text() for name in LOCKS)
    try:
        found = known(packages, os.environ.get("OSV_URL") or DATABASE)
    except Unreachable as problem:
        print(f"Dependencies were not audited, because the database of vulnerabilities cannot be asked: {problem}")
        return
    open_ = {package: left for package, ids in found.items() if (left := [one for one in ids if one not in ACCEPTED])}
    for (name, version), ids in open_.items():
        print(f"{name} {version}: {', '.join(ids)}", file=sys.stderr)
    if open_:
        sys.exit("Lock versions without them (make lock), or say in tools/audit.py why they do not concern us")
    print(f"Audited {len(packages)} locked versions: nothing is known against them")


if __name__ == "__main__":
    main()
