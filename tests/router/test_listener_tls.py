"""TLS where clients connect: renewed under standing connections, never replaced by plain HTTP, and with clients' certificates."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from testbed.router import RunningRouter, config, house, until
from testbed.upstream.client import Response, chat, request
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer

FILES = {"certificateFile": "listener.crt", "keyFile": "listener.key"}


def pair(authority: trustme.CA) -> dict[str, bytes]:
    made = authority.issue_cert("127.0.0.1", "localhost")
    chain = b"".join(one.bytes() for one in made.cert_chain_pems)
    return {"listener.crt": chain, "listener.key": made.private_key_pem.bytes()}


def settings(base_url: str, **tls: str) -> dict[str, Any]:
    return {**config(house(base_url)), "tls": {**FILES, **tls}}


async def ask(router: RunningRouter, authority: trustme.CA, client: trustme.LeafCert | None = None) -> Response:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if client is not None:
        client.configure_cert(context)
    return await request(f"https://127.0.0.1:{router.router.listen_port}/v1/chat/completions", chat(), context=context)


async def test_a_renewed_certificate_ends_no_stream(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    async with (
        ScriptedUpstream(default=Answer(interval=0.05)) as model,
        RunningRouter(tmp_path, settings(model.base_url), pair(old)) as router,
    ):
        running = asyncio.create_task(ask(router, old))
        await until(lambda: bool(model.requests), what="a stream runs")
        for name, content in pair(new).items():
            (router.credentials_dir / name).write_bytes(content)
        before = router.metrics.reloads
        await until(lambda: router.metrics.reloads > before, what="the new pair is taken")
        assert (await ask(router, new)).complete, "a new connection still gets the old certificate"
        assert (await running).complete
        with pytest.raises(ssl.SSLCertVerificationError):
            await ask(router, old)
        assert (await router.admin("/-/ready")).status == 200, "probes speak plain HTTP"


async def test_half_of_a_renewed_pair_is_not_taken(tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    async with ScriptedUpstream() as model, RunningRouter(tmp_path, settings(model.base_url), pair(old)) as router:
        (router.credentials_dir / "listener.key").write_bytes(pair(new)["listener.key"])
        await until(lambda: router.config_error is not None, what="the pair that does not fit is seen")
        assert "certificate and key do not belong together" in (router.config_error or "")
        assert (await ask(router, old)).complete


async def test_plain_http_is_no_way_around(tmp_path: Path) -> None:
    authority = trustme.CA()
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, settings(model.base_url), pair(authority)) as router,
    ):
        answer = await router.ask(chat())
        assert answer.status == 0 and not model.requests
        (router.credentials_dir / "listener.crt").unlink()
        await until(lambda: router.config_error is not None, what="the missing file is seen")
        assert (await router.ask(chat())).status == 0 and (await ask(router, authority)).complete


async def test_only_clients_of_the_ca_get_a_connection(tmp_path: Path) -> None:
    authority, clients, strangers = trustme.CA(), trustme.CA(), trustme.CA()
    files = {**pair(authority), "listener.ca": clients.cert_pem.bytes()}
    async with (
        ScriptedUpstream() as model,
        RunningRouter(tmp_path, settings(model.base_url, clientCaFile="listener.ca"), files) as router,
    ):
        assert (await ask(router, authority, clients.issue_cert("me@example.org"))).complete
        for other in (None, strangers.issue_cert("me@example.org")):
            try:
                refused = (await ask(router, authority, other)).status
            except (ssl.SSLError, OSError):
                refused = 0
            assert refused == 0
        assert len(model.requests) == 1
