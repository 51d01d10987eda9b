"""Traces take the way that a site lays: its proxy with a password, its certificates, nothing that is off limits."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from genset.contracts.router_config import TelemetryConfig
from genset.off_limits import OffLimits
from genset.router.backends.credentials import Credentials
from genset.router.telemetry.collector_way import session_of
from genset.router.telemetry.wanted import Way
from testbed.router import RunningRouter, config, house, until
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from tests.support.router.collector import Collector


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are sent after 50 ms."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")


async def test_spans_go_through_the_site_s_proxy_with_its_password(tmp_path: Path) -> None:
    """The proxy of the environment, which is away, is not asked; another password counts from the next span on."""
    telemetry: dict[str, Any] = {"otlpEndpoint": "http://otlp.corp.invalid:4318", "proxyCredentialsFile": "site.proxy"}
    async with Collector() as proxy, ScriptedUpstream() as local:
        content = config(house(local.base_url), telemetry={**telemetry, "proxyUrl": proxy.url})
        async with RunningRouter(tmp_path, content, {"site.proxy": b"team:p@ss"}) as router:
            for password, header in ((b"team:p@ss", "Basic dGVhbTpwQHNz"), (b"team:new", "Basic dGVhbTpuZXc=")):
                if password != b"team:p@ss":
                    before = router.table
                    (router.credentials_dir / "site.proxy").write_bytes(password)
                    await until(lambda before=before: router.table is not before)  # type: ignore[misc]
                seen = len(proxy.paths)
                assert (await router.ask(chat())).complete
                await until(lambda seen=seen: len(proxy.paths) > seen)  # type: ignore[misc]
                assert proxy.paths[-1] == "http://otlp.corp.invalid:4318/v1/traces"
                assert proxy.headers[-1]["proxy-authorization"] == header


async def test_a_collector_of_the_site_s_authority_is_trusted(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    files = {"site.ca": authority.cert_pem.bytes()}
    async with Collector(tls=context) as collector, ScriptedUpstream() as local:
        content = config(house(local.base_url), telemetry={"otlpEndpoint": collector.url})
        async with RunningRouter(tmp_path, {**content, "siteCaFile": "site.ca"}, files) as router:
            assert (await router.ask(chat())).complete
            await until(lambda: len(collector.spans) == 1)


async def test_certificates_that_are_none_refuse_the_configuration(tmp_path: Path) -> None:
    async with ScriptedUpstream() as local:
        first = config(house(local.base_url))
        async with RunningRouter(tmp_path, first, {"site.ca": b"none"}) as router:
            traced = config(
                house(local.base_url), telemetry={"otlpEndpoint": "https://otlp.corp.invalid"}, generation=2
            )
            router.write({**traced, "siteCaFile": "site.ca"})
            await until(lambda: router.router.reception.problem)
            assert "siteCaFile holds no PEM certificates" in str(router.router.reception.problem)


@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:1"])
def test_a_collector_off_limits_is_not_asked_behind_a_proxy_either(proxy: str) -> None:
    session = session_of(Way(OffLimits(("169.254.0.0/16",)), proxy))
    with pytest.raises(OSError, match="at an address that no router may dial"):
        session.post("http://169.254.169.254/v1/traces", data=b"", timeout=5)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_collector_beside_the_router_may_be_named_by_its_environment(host: str) -> None:
    """A podTemplate may set OTEL_*: what it names is guarded like the rest, but for a sidecar."""
    session = session_of(Way(OffLimits(("127.0.0.0/8", "169.254.0.0/16", "::/127")).but_loopback()))
    with socket.create_server((host, 0)) as listening, pytest.raises(OSError, match="timed out"):  # dialled, and silent
        session.post(f"http://{host}:{listening.getsockname()[1]}/v1/traces", data=b"", timeout=0.2)
    with pytest.raises(OSError, match="at an address that no router may dial"):
        session.post("http://169.254.169.254/v1/traces", data=b"", timeout=5)


def test_a_proxy_off_limits_is_not_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        session = session_of(Way(OffLimits(("127.0.0.0/8",)), f"http://127.0.0.1:{listening.getsockname()[1]}"))
        with pytest.raises(OSError, match="at an address that no router may dial"):
            session.post("http://otlp.corp.invalid/v1/traces", data=b"", timeout=5)


def test_a_password_that_is_missing_is_named() -> None:
    settings = TelemetryConfig.model_validate(
        {
            "otlpEndpoint": "http://c:1",
            "samplePercent": 1,
            "proxyUrl": "http://p:1",
            "proxyCredentialsFile": "site.proxy",
        }
    )
    with pytest.raises(ValueError, match=r"telemetry: site\.proxy is missing or empty in /creds"):
        Way.of(settings, None, Credentials({}, "/creds"))
