"""A real API server with the committed CRDs, once for the folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from genset import names
from testbed.cluster.api import wait_for
from testbed.cluster.controlplane import ControlPlane

ROOT = Path(__file__).resolve().parents[2]
CRDS = ROOT / "crds"
LONGEST_SECONDS = 60.0  # the largest policy has a megabyte of rules to be checked


@dataclass(frozen=True)
class Server:
    """What the tests need of the API server: requests as kubectl makes them, with its strict field validation."""

    plane: ControlPlane

    def create(self, document: dict[str, Any], *, dry_run: bool = True) -> tuple[int, dict[str, Any]]:
        return self._send("POST", self._collection(document), document, dry_run)

    def update(self, document: dict[str, Any], *, dry_run: bool = True) -> tuple[int, dict[str, Any]]:
        return self._send("PUT", f"{self._collection(document)}/{document['metadata']['name']}", document, dry_run)

    def delete(self, document: dict[str, Any]) -> None:
        self.plane.api.request("DELETE", f"{self._collection(document)}/{document['metadata']['name']}")

    def _collection(self, document: dict[str, Any]) -> str:
        return f"/apis/{names.API_VERSION}/namespaces/default/{names.PLURALS[document['kind']]}"

    def _send(self, method: str, path: str, document: dict[str, Any], dry_run: bool) -> tuple[int, dict[str, Any]]:
        query = "?fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        headers = {"Content-Type": "application/json"}
        content = json.dumps(document).encode()
        status, body = self.plane.api.request(method, path + query, content, headers, seconds=LONGEST_SECONDS)
        return status, json.loads(body)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ControlPlane(tmp_path_factory.mktemp("crds"), audit_log=False) as plane:
        plane.kubectl("apply", "--server-side", "-f", str(CRDS))
        plane.kubectl(
            "wait", "--for=condition=Established", "--timeout=30s",
            *(f"crd/{plural}.{names.GROUP}" for plural in names.PLURALS.values()),
        )  # fmt: skip
        wait_for("both kinds served", lambda: plane.api.get(f"/apis/{names.API_VERSION}") is not None, 30)
        yield Server(plane)
