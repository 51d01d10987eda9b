"""A router in a cluster of IPv6 alone, or of both families: sockets on ::1 and 127.0.0.1, addresses in every form."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from testbed.router import RunningRouter, cloud, config, free_port, house, pods, until
from testbed.upstream.client import chat, request
from testbed.upstream.counting import fault
from testbed.upstream.proxy import ConnectProxy
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.tls import Authority
from tests.support.router.names import Names


@pytest.mark.parametrize("client", ["127.0.0.1", "[::1]"])
async def test_clients_of_both_families_are_answered_and_told_apart(tmp_path: Path, client: str) -> None:
    log = tmp_path / "access.log"
    async with ScriptedUpstream(host="::1") as upstream:
        content = config(house(upstream.base_url))
        async with RunningRouter(tmp_path, content, listen="::", log=log) as router:
            answer = await request(f"http://{client}:{router.router.listen_port}/v1/chat/completions", chat())
            admin = await request(f"http://{client}:{router.router.admin_port}/-/ready")
        assert answer.complete and fault(answer.text, 10) is None and admin.status == 200
        assert upstream.requests[0].headers["host"] == f"[::1]:{upstream.port}"
    assert json.loads(log.read_text().splitlines()[0])["client"] == client.strip("[]")


async def test_endpoints_come_from_aaaa_records(tmp_path: Path, names: Names) -> None:
    names.known["house.models.svc"] = ("::1",)
    async with ScriptedUpstream(host="::1") as upstream:
        async with RunningRouter(tmp_path, config(pods("house.models.svc", upstream.port))) as router:
            answer = await router.ask(chat())
            state = await router.state("house")
        assert answer.complete and fault(answer.text, 10) is None
        assert [endpoint["address"] for endpoint in state["endpoints"]] == [f"[::1]:{upstream.port}"]
        assert upstream.probes, "it is probed at its address of IPv6"


async def test_an_address_in_place_of_a_name_needs_no_dns(tmp_path: Path) -> None:
    async with ScriptedUpstream(host="::1") as upstream:
        async with RunningRouter(tmp_path, config(pods("[::1]", upstream.port))) as router:
            answer = await router.ask(chat())
        assert answer.complete


async def test_a_cloud_by_address_with_tls_through_a_proxy(tmp_path: Path) -> None:
    authority = Authority()
    async with ScriptedUpstream(tls=authority, names=("::1",), host="::1") as secure, ConnectProxy() as proxy:
        target = {"caFile": "ca", "proxyUrl": proxy.url}
        async with RunningRouter(
            tmp_path, config(cloud(secure.base_url, url=target)), {"ca": authority.ca_pem}
        ) as router:
            answer = await router.ask(chat())
        assert answer.complete and [(tunnel.host, tunnel.port) for tunnel in proxy.tunnels] == [("::1", secure.port)]


async def test_forwarded_addresses_of_trusted_proxies(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with ScriptedUpstream() as upstream:
        content = {**config(house(upstream.base_url)), "trustedProxies": ["::1/128", "fd00::/8"]}
        async with RunningRouter(tmp_path, content, listen="::", log=log) as router:
            url = f"http://[::1]:{router.router.listen_port}/v1/chat/completions"
            await request(url, chat(), {"x-forwarded-for": "2001:db8::7, [fd00::1]:8443"})
    assert json.loads(log.read_text().splitlines()[0])["client"] == "2001:db8::7"


@pytest.mark.parametrize("own", ["[::1]", "[::]", "127.0.0.1", "localhost"])
async def test_a_backend_that_is_the_router_itself_is_refused(tmp_path: Path, own: str) -> None:
    port = free_port()
    content = json.dumps(config(house(f"http://{own}:{port}/v1")))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "router.json").write_text(content)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "genset", "router", "--config-dir", str(tmp_path / "config"),
        "--listen", f"[::]:{port}", "--admin", "[::]:0", "--access-log", "off",
        stderr=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            while "is this router itself" not in (line := (await process.stderr.readline()).decode()):
                assert line, "it ended without a word about itself"
        assert f"it listens on [::]:{port}" in line
    finally:
        process.terminate()
        await process.wait()


# What the site gives


async def test_certificates_of_the_site_are_trusted_beside_the_backends_own(tmp_path: Path) -> None:
    site, own = Authority(), Authority()
    async with ScriptedUpstream(tls=site) as behind_site, ScriptedUpstream(tls=own) as behind_own:
        content = {
            **config(
                cloud(behind_site.base_url, "first"),
                cloud(behind_own.base_url, "second", url={"caFile": "own.ca"}),
                tiers=[["first"], ["second"]],
            ),
            "siteCaFile": "site.ca",
        }
        files = {"site.ca": site.ca_pem, "own.ca": own.ca_pem}
        async with RunningRouter(tmp_path, content, files) as router:
            answers = [await router.ask(chat())]
            await behind_site.kill()
            answers.append(await router.ask(chat()))
    assert [answer.complete for answer in answers] == [True, True]
    assert behind_site.requests and behind_own.requests


async def test_a_new_bundle_of_the_site_is_followed(tmp_path: Path) -> None:
    old, new = Authority(), Authority()
    async with ScriptedUpstream(tls=new) as upstream:
        content = {**config(cloud(upstream.base_url)), "siteCaFile": "site.ca"}
        async with RunningRouter(tmp_path, content, {"site.ca": old.ca_pem}) as router:
            assert not (await router.ask(chat())).complete
            (router.credentials_dir / "site.ca").write_bytes(old.ca_pem + new.ca_pem)

            async def answers() -> bool:
                return (await router.ask(chat())).complete

            await until(answers)


@pytest.mark.parametrize("content", [b"", b"no certificate"])
async def test_a_bundle_that_is_none_keeps_the_last_good_configuration(tmp_path: Path, content: bytes) -> None:
    async with ScriptedUpstream() as well, RunningRouter(tmp_path, config(house(well.base_url))) as router:
        (router.credentials_dir / "site.ca").write_bytes(content)
        router.write({**config(cloud("https://127.0.0.1:1/v1")), "siteCaFile": "site.ca"})

        async def told() -> bool:
            answer = await router.admin("/-/config")
            return "site" in str(json.loads(answer.body).get("error"))

        await until(told)
        assert (await router.ask(chat())).complete
