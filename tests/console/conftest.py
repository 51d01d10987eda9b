"""One API server and one ledger for all tests of the console; each test runs a console of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from testbed.cluster.controlplane import ControlPlane
from tests.support import console
from tests.support.ledger_process import LedgerProcess


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[console.Site]:
    folder = tmp_path_factory.mktemp("console")
    ledger = LedgerProcess(folder, str(folder / "ledger.db"))
    ledger.start()
    with ControlPlane(folder / "plane") as plane:
        plane.kubectl("apply", "--server-side", "-f", str(console.ROOT / "crds"))
        plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        for name in ("law", "plant"):
            plane.kubectl("create", "namespace", name)
        console.people(plane)
        made = console.Site(plane, folder, ledger, console.booked(ledger))
        console.resources(made)
        yield made
    ledger.stop()


@pytest_asyncio.fixture
async def running(site: console.Site, tmp_path: Path) -> AsyncIterator[console.Site]:
    """A console with the router of law/assistant."""
    async with console.running_router(site, tmp_path):
        site.apply(console.slice_of("law", "assistant", console.own_address()))
        async with console.running_console(site):
            yield site
