"""The egress proxy of the tests, checked with a TLS client through it."""

from __future__ import annotations

import asyncio
import base64

import pytest

from testbed.upstream import client
from testbed.upstream.client import HttpConnection, chat
from testbed.upstream.proxy import ConnectProxy
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.tls import Authority

BASIC = "Basic " + base64.b64encode(b"house:secret").decode()


async def connect(
    proxy: ConnectProxy, target: str, authorization: str | None = None
) -> tuple[bytes, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    extra = f"Proxy-Authorization: {authorization}\r\n" if authorization else ""
    writer.write(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{extra}\r\n".encode())
    return await reader.readuntil(b"\r\n\r\n"), reader, writer


async def test_tunnel_to_a_name_with_tls_inside() -> None:
    authority = Authority()
    async with ScriptedUpstream(tls=authority, names=("cloud.test",)) as upstream:
        leads = {"cloud.test": ("127.0.0.1", upstream.port)}
        async with ConnectProxy(credentials="house:secret", leads=leads) as proxy:
            head, reader, writer = await connect(proxy, "cloud.test:443", BASIC)
            assert head.startswith(b"HTTP/1.1 200")
            await writer.start_tls(authority.client_context(), server_hostname="cloud.test")
            exchange = await HttpConnection(reader, writer, "cloud.test").start("/v1/chat/completions", chat())
            assert (await exchange.whole()).complete
            writer.close()
            tunnel = proxy.tunnels[0]
            assert (tunnel.host, tunnel.port, tunnel.status) == ("cloud.test", 443, 200)
            assert tunnel.bytes_up > 100
            assert tunnel.bytes_down > 500


@pytest.mark.parametrize(
    ("proxy", "authorization", "status"),
    [
        (ConnectProxy(credentials="house:secret"), None, b"407"),
        (ConnectProxy(credentials="house:secret"), "Basic d3Jvbmc=", b"407"),
        (ConnectProxy(refuse=403), None, b"403"),
        (ConnectProxy(), None, b"502"),
    ],
)
async def test_refusals(proxy: ConnectProxy, authorization: str | None, status: bytes) -> None:
    async with ScriptedUpstream() as upstream:
        await upstream.stop_listening()
        async with proxy:
            head, _, writer = await connect(proxy, upstream.address, authorization)
            writer.close()
            assert head.split(b" ")[1] == status


async def test_hang() -> None:
    async with ConnectProxy(hang=True) as proxy:
        assert await client.raw("127.0.0.1", proxy.port, b"CONNECT a:1 HTTP/1.1\r\n\r\n", within=0.2) == b""
        assert proxy.tunnels[0].host == "a"
