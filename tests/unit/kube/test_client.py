"""The connection: what is retried, what is not, and the fence."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from aiohttp import web

from genset import kinds
from genset.kube.client import ApiError, ApiServer, LeadershipLost, uses_proxy
from genset.kube.metrics import Metrics
from tests.support.kube_server import FakeApiServer, refusal

LIVE = {"metadata": {"name": "x", "namespace": "n", "uid": "u", "resourceVersion": "1"}}


class Connection:
    """A client with its fake server."""

    def __init__(self) -> None:
        self.server = FakeApiServer()

    async def __aenter__(self) -> Connection:
        self._listening = self.server.listening()
        configuration = await self._listening.__aenter__()
        self.api = ApiServer(configuration, Metrics(), rng=random.Random(1))
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.api.close()
        await self._listening.__aexit__(*error)


HEALED = [
    ("429 with Retry-After", lambda _: refusal(429, "TooManyRequests", Retry_After="0.2")),
    ("500", lambda _: refusal(500, "InternalError")),
    ("502 in HTML", lambda _: web.Response(status=502, text="<html>", content_type="text/html")),
    ("503", lambda _: refusal(503, "ServiceUnavailable")),
    ("504", lambda _: refusal(504, "Timeout")),
]


@pytest.mark.parametrize("answer", [case[1] for case in HEALED], ids=[case[0] for case in HEALED])
@pytest.mark.parametrize("method", ["GET", "PATCH"])
async def test_a_passing_failure_is_healed(answer: Any, method: str) -> None:
    async with Connection() as connection:
        connection.server.objects["/api/v1/namespaces/n/services/x"] = LIVE
        connection.server.answer = lambda request, number: answer(request) if number <= 2 else None
        if method == "GET":
            assert await connection.api.get(kinds.SERVICE, "n", "x") == LIVE
        else:
            await connection.api.merge_patch(kinds.SERVICE, "n", "x", {"metadata": {}}, field_manager="f")
        assert len(connection.server.requests) == 3


async def test_retry_after_is_waited_for() -> None:
    async with Connection() as connection:
        connection.server.objects["/api/v1/namespaces/n/services/x"] = LIVE
        connection.server.answer = lambda _, number: refusal(429, "", Retry_After="1") if number == 1 else None
        loop = asyncio.get_running_loop()
        began = loop.time()
        await connection.api.get(kinds.SERVICE, "n", "x")
        assert loop.time() - began >= 1


async def test_a_long_retry_after_goes_back_to_the_queue() -> None:
    async with Connection() as connection:
        connection.server.answer = lambda *_: refusal(429, "TooManyRequests", Retry_After="60")
        with pytest.raises(ApiError) as error:
            await connection.api.get(kinds.SERVICE, "n", "x")
        assert error.value.transient and len(connection.server.requests) == 1


async def test_a_broken_connection_is_healed_and_in_the_end_told() -> None:
    async with Connection() as connection:

        def cut(request: web.Request, _: int) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        connection.server.answer = cut
        with pytest.raises(ApiError) as error:
            await connection.api.get(kinds.SERVICE, "n", "x")
        assert error.value.unreachable and connection.server.url in error.value.message
        assert len(connection.server.requests) >= 5


FINAL = [(400, "BadRequest"), (401, "Unauthorized"), (403, "Forbidden"), (422, "Invalid")]


@pytest.mark.parametrize(("status", "reason"), FINAL)
async def test_a_clear_no_is_final(status: int, reason: str) -> None:
    async with Connection() as connection:
        connection.server.answer = lambda *_: refusal(status, reason, "the API server's own words")
        with pytest.raises(ApiError, match="the API server's own words") as error:
            await connection.api.get(kinds.SERVICE, "n", "x")
        assert (error.value.status, error.value.transient) == (status, False)
        assert len(connection.server.requests) == 1


async def test_not_found_is_none_for_get_and_fine_for_delete() -> None:
    async with Connection() as connection:
        assert await connection.api.get(kinds.SERVICE, "n", "x") is None
        connection.server.answer = lambda *_: refusal(404, "NotFound")
        await connection.api.delete(kinds.SERVICE, LIVE)


async def test_conflicts_of_a_patch_are_retried_and_those_of_a_put_are_not() -> None:
    async with Connection() as connection:
        connection.server.objects["/api/v1/namespaces/n/services/x"] = LIVE
        connection.server.answer = lambda _, number: refusal(409, "Conflict") if number == 1 else None
        await connection.api.merge_patch(kinds.SERVICE, "n", "x", {"metadata": {}}, field_manager="f")
        assert len(connection.server.requests) == 2
        connection.server.answer = lambda *_: refusal(409, "Conflict")
        with pytest.raises(ApiError):
            await connection.api.request("PUT", kinds.SERVICE.path("n", "x"), body=LIVE)
        assert len(connection.server.requests) == 3


async def test_nothing_is_written_behind_the_fence() -> None:
    async with Connection() as connection:
        connection.server.objects["/api/v1/namespaces/n/services/x"] = LIVE
        connection.api.fence(lambda: False)
        assert await connection.api.get(kinds.SERVICE, "n", "x") == LIVE
        connection.server.requests.clear()
        for write in (
            connection.api.delete(kinds.SERVICE, LIVE),
            connection.api.create(kinds.SERVICE, LIVE),
            connection.api.request("PUT", kinds.SERVICE.path("n", "x"), body=LIVE),
            connection.api.apply(kinds.SERVICE, LIVE, field_manager="f", force=True),
        ):
            with pytest.raises(LeadershipLost):
                await write
        assert connection.server.requests == []


async def test_the_fence_falls_between_two_attempts_too() -> None:
    async with Connection() as connection:

        def refuse(*_: Any) -> web.Response:
            connection.api.fence(lambda: False)
            return refusal(500, "InternalError")

        connection.server.answer = refuse
        with pytest.raises(LeadershipLost):
            await connection.api.create(kinds.SERVICE, LIVE)
        assert len(connection.server.requests) == 1


async def test_lists_are_read_page_by_page() -> None:
    pages = {
        None: {"metadata": {"continue": "t1"}, "items": [{"metadata": {"name": "a"}}]},
        "t1": {"metadata": {}, "items": [{"metadata": {"name": "b"}}]},
    }
    async with Connection() as connection:
        connection.server.answer = lambda request, _: web.json_response(pages[request.query.get("continue")])
        items = await connection.api.list(kinds.DEPLOYMENT, "n", "a=b")
        assert [item["metadata"]["name"] for item in items] == ["a", "b"]
        assert {item["kind"] for item in items} == {"Deployment"}, "items of a list do not say their kind; ours do"


def test_paths() -> None:
    assert kinds.POD.path("n", "p") == "/api/v1/namespaces/n/pods/p"
    assert kinds.MODEL_DEPLOYMENT.path() == "/apis/genset.dev/v1alpha1/modeldeployments"
    assert kinds.DEPLOYMENT.path("n", "d", "status") == "/apis/apps/v1/namespaces/n/deployments/d/status"
    with pytest.raises(KeyError, match=r"genset\.kinds"):
        kinds.kind_of({"apiVersion": "batch/v1", "kind": "CronJob"})


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"HTTPS_PROXY": "http://p:1"}, True),
        ({"https_proxy": "http://p:1"}, True),
        ({"NO_PROXY": "*"}, False),
    ],
)
def test_a_proxy_is_looked_for_only_where_one_is_named(environ: dict[str, str], expected: bool) -> None:
    assert uses_proxy(environ) is expected
