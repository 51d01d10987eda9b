"""What a router tells the operator of a server elsewhere, and how often it asks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genset.contracts.router_admin import ServerReport
from genset.router.watch import server_watch
from genset.router.watch.server_watch import ServerWatch
from testbed.router import RunningRouter, config, house, until
from testbed.upstream.client import chat
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import OnAccept, Status

NOBODY = ServerReport("house", False)
REFUSAL: dict[str, Any] = {
    "error": {"message": "Incorrect API key provided", "type": "invalid_request_error", "code": None}
}


def watch_of(router: RunningRouter) -> ServerWatch:
    """As a router in a cluster has it, where nothing on loopback may be dialled."""
    table = router.table
    assert table is not None
    return ServerWatch(table.backends["house"], router.router.shared.connector, router.router.shared.now)


def known(router: RunningRouter) -> ServerReport | None:
    table = router.table
    assert table is not None
    return table.backends["house"].standing.server


ANSWERS: list[tuple[dict[str, Any], ServerReport]] = [
    ({}, ServerReport("house", True)),
    ({"default": Status(401, REFUSAL)}, ServerReport("house", False, 401, "Incorrect API key provided")),
    (
        {"default": Status(500, {"error": {"message": "boom", "type": "server_error"}})},
        ServerReport("house", False, 500, "boom"),
    ),
    ({"default": Status(401, {"message": "Unauthorized", "secret": "x"})}, NOBODY),
    ({"default": Status(403, {"kind": "Status", "message": 'forbidden: User "system:anonymous"'})}, NOBODY),
    ({"default": Status(404, {"error": {"code": 404, "message": "Not found", "status": "NOT_FOUND"}})}, NOBODY),
    ({"default": Status(200, {"instanceId": "i-0123", "role": "node"})}, NOBODY),
    ({"default": Status(502, {"error": "bad gateway"})}, NOBODY),
    ({"every_accept": OnAccept("silent")}, NOBODY),
    ({"every_accept": OnAccept("close")}, NOBODY),
]


@pytest.mark.parametrize(("upstream", "told"), ANSWERS)
async def test_what_is_told_of_a_server(
    tmp_path: Path, upstream: dict[str, Any], told: ServerReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_watch, "ANSWER_SECONDS", 0.5)
    async with (
        ScriptedUpstream(**upstream) as server,
        RunningRouter(tmp_path, config(house(server.base_url))) as router,
    ):
        watch = watch_of(router)
        watch.start()
        try:
            await until(lambda: known(router) is not None)
        finally:
            watch.stop()
        assert known(router) == told
        page = json.loads((await router.admin("/-/config")).body)
        assert page["servers"] == [told.to_document()]


async def test_a_closed_port_reads_like_all_others(tmp_path: Path) -> None:
    async with RunningRouter(tmp_path, config(house("http://127.0.0.1:1/v1"))) as router:
        watch = watch_of(router)
        watch.start()
        await until(lambda: known(router) is not None)
        watch.stop()
        assert known(router) == NOBODY


async def test_an_answer_to_a_client_saves_the_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_watch, "LOOK_SECONDS", 0.02)
    async with ScriptedUpstream() as server, RunningRouter(tmp_path, config(house(server.base_url))) as router:
        assert (await router.ask(chat())).complete
        watch = watch_of(router)
        watch.start()
        await until(lambda: known(router) == ServerReport("house", True))
        watch.stop()
        assert len(server.requests) == 1 and server.accepted == 1


async def test_it_is_asked_once_a_minute_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_watch, "LOOK_SECONDS", 0.01)
    async with (
        ScriptedUpstream(default=Status(500, {"x": 1})) as server,
        RunningRouter(tmp_path, config(house(server.base_url))) as router,
    ):
        watch, looks = watch_of(router), 0
        look = watch._look

        async def counted() -> None:
            nonlocal looks
            await look()
            looks += 1

        monkeypatch.setattr(watch, "_look", counted)
        watch.start()
        await until(lambda: looks >= 20)
        watch.stop()
        assert server.accepted == 1


async def test_on_a_laptop_nobody_is_asked(tmp_path: Path) -> None:
    async with ScriptedUpstream() as server, RunningRouter(tmp_path, config(house(server.base_url))) as router:
        assert json.loads((await router.admin("/-/config")).body)["servers"] == []
        assert not server.accepted
