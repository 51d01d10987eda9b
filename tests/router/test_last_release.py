"""Routers of the last release read what today's operator writes: they serve on after an upgrade, without a restart."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from genset import names
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.contracts.router_admin import ConfigReport, DemandReport
from genset.contracts.router_config import config_hash
from genset.desired import router_config
from genset.desired.context import RoutePolicyContext, Settings
from genset.desired.secrets import UserSecret
from genset.status import work
from testbed import release
from tests.golden import cases

DESIRED = Path(__file__).parents[1] / "golden" / "desired"
#: Cases of fields that the last release knows; newer fields, such as those of policy-capabilities, its routers refuse.
POLICIES = [
    "policy-minimal", "policy-everything", "policy-balancing", "policy-cold-start", "policy-servers", "policy-telemetry",
]  # fmt: skip


def written(case: str) -> tuple[str, dict[str, bytes]]:
    """Returns what the operator of this release writes for a golden case: configuration, and files of credentials."""
    loaded = cases.load(DESIRED, case)
    deployments = [ModelDeployment.model_validate(item) for item in loaded.get("deployments", [])]
    secrets = {
        name: UserSecret({key: value.encode() for key, value in data.items()}, "*")
        for name, data in loaded.get("secrets", {}).items()
    }
    context = RoutePolicyContext(Settings(image="genset"), {item.metadata.name: item for item in deployments}, secrets)
    policy = RoutePolicy.model_validate(loaded["resource"])
    return router_config.build(policy, context).canonical_json(), dict(router_config.credential_files(policy, context))


@asynccontextmanager
async def last_router(folder: Path, address: str, config: str, credentials: dict[str, bytes]) -> AsyncIterator[str]:
    """Runs the last release's router on a configuration. Yields the URL of its admin port."""
    for name, files in (
        ("config", {names.ROUTER_CONFIG_FILE: config.encode()}),
        ("credentials", credentials),
    ):
        (folder / name).mkdir()
        for file, content in files.items():
            (folder / name / file).write_bytes(content)
    source = release.unpack(folder) / "operator"
    paths = [str(source), *(path for path in sys.path if not path.endswith("/operator"))]
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "genset", "router", "--config-dir", str(folder / "config"),
            "--credentials", str(folder / "credentials"), "--listen", f"{address}:18080", "--admin", f"{address}:19090",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield f"http://{address}:19090"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("case", POLICIES)
async def test_the_last_releases_router_serves_what_is_written_now(case: str, tmp_path: Path) -> None:
    config, credentials = written(case)
    address = f"127.76.1.{1 + POLICIES.index(case)}"
    async with (
        last_router(tmp_path, address, config, credentials) as admin,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        report = None
        for _ in range(200):
            try:
                report = ConfigReport.from_json((await client.get(f"{admin}/-/config")).content)
                break
            except httpx.TransportError:
                await asyncio.sleep(0.05)
        assert report is not None, (tmp_path / "log").read_text()
        assert report.error is None and report.hash == config_hash(config)
        assert DemandReport.from_json((await client.get(f"{admin}/-/demand")).content) is not None
        told = work.read((await client.get(f"{admin}/metrics")).content, work.ROUTER)
        assert told is not None and not told.busy, "so that an idle one can be told"
