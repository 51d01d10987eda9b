"""Signing in, rights by namespace, and the end of a visit, on a real API server; and what attackers try."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from genset.console import app, visits
from tests.support.console import Site, running_console

PAGES = (
    "/fleet",
    "/routes",
    "/routes/law/assistant",
    "/continuity",
    "/cost",
    "/data",
    "/request",
    "/cost.csv",
    "/data.csv",
)


async def test_without_signing_in_there_is_nothing(running: Site) -> None:
    async with httpx.AsyncClient(base_url=running.url) as client:
        for path in PAGES:
            answer = await client.get(path)
            assert answer.status_code in (303, 401) and "law" not in answer.text, path
        assert (await client.get("/news")).status_code == 401
        assert (await client.get("/routes/law/assistant/series.json")).status_code == 401


async def test_a_viewer_sees_his_namespace_and_nothing_of_others(running: Site) -> None:
    """A RoleBinding is enough, without any right in the whole cluster (kubernetes-sigs/headlamp#1195, #4249); and whoever guesses
    another namespace's address gets what he would get for nothing."""
    client = await running.signed_in("plant", "viewer")
    fleet = (await client.get("/fleet")).text
    assert "vision" in fleet and "loading" not in fleet and "law/" not in fleet
    assert "law" not in (await client.get("/routes")).text and "line" in (await client.get("/routes")).text
    there, nowhere = (await client.get("/routes/law/assistant")), (await client.get("/routes/law/none"))
    assert (there.status_code, nowhere.status_code) == (404, 404)
    assert there.text.replace("assistant", "none") == nowhere.text
    assert (await client.get("/routes/law/assistant/series.json")).status_code == 404
    assert (await client.get("/routes/plant/line")).status_code == 200


async def test_what_was_used_needs_a_right_of_its_own(running: Site) -> None:
    client = await running.signed_in("plant", "viewer")
    asked = next(iter(running.traffic.spools["abc"]))["request"]
    for path in (
        "/cost?span=day",
        "/data?span=day",
        f"/request?id={asked}",
        "/cost.csv?span=day",
        "/data.csv?span=day",
    ):
        page = (await client.get(path)).text
        assert "letters" not in page and "accounting" not in page and "law/assistant" not in page, path
    cost = (await client.get("/cost?span=day")).text
    assert "Nothing was used in this span, as far as you may see" in cost and "412.50" not in cost


async def test_somebody_without_any_right_is_told_what_to_do(running: Site) -> None:
    client = await running.signed_in("plant", "nobody", own=False)
    assert "There is no ModelDeployment that you may see" in (await client.get("/fleet")).text
    assert "Needs somebody" not in (await client.get("/fleet")).text


async def test_no_token_is_in_the_log(running: Site, caplog: pytest.LogCaptureFixture) -> None:
    """kubernetes-retired/dashboard#3012."""
    caplog.set_level("DEBUG")
    token = await asyncio.to_thread(running.token, "law", "auditor")
    async with httpx.AsyncClient(base_url=running.url) as client:
        for shown in (token, f"{token}x"):
            await client.post("/sign-in", data={"token": shown}, headers={"origin": running.url})
    assert "law:auditor has signed in" in caplog.text
    assert token[-40:] not in caplog.text and running.ledger.key_file.read_text().strip() not in caplog.text


@pytest.mark.parametrize("token", ["", "        ", "abc", "a.b.c", "x" * 40_000, "sk-house"])
async def test_what_is_no_token_opens_nothing(running: Site, token: str) -> None:
    """Blanks among them: kubernetes-retired/dashboard#5447."""
    async with httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.post("/sign-in", data={"token": token}, headers={"origin": running.url})
        assert answer.status_code in (400, 401) and not answer.cookies
        assert len(token.strip()) < 6 or token not in answer.text, "a token is not shown again"


async def test_another_site_can_neither_sign_in_nor_out(running: Site) -> None:
    client = await running.signed_in("law", "auditor")
    for headers in (
        {"origin": "https://evil.example"},
        {},
        {"origin": running.url, "sec-fetch-site": "cross-site"},
        {"origin": "null"},
    ):
        assert (await client.post("/sign-out", headers=headers)).status_code == 403
        assert (await client.post("/sign-in", data={"token": "x.y.z"}, headers=headers)).status_code == 403
    assert (await client.get("/fleet")).status_code == 200


@pytest.mark.parametrize(
    "to",
    ["https://evil.example", "//evil.example", "/\\evil.example", "/sign-out", "javascript:alert(1)", "/a\r\nx: y"],
)
async def test_signing_in_leads_nowhere_else(running: Site, to: str) -> None:
    """payloadcms/payload#3165."""
    token = await asyncio.to_thread(running.token, "law", "auditor")
    async with httpx.AsyncClient(base_url=running.url) as client:
        answer = await client.post("/sign-in", data={"token": token, "to": to}, headers={"origin": running.url})
        assert answer.headers["location"] == "/fleet"
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie
        behind_tls = await client.post(
            "/sign-in", data={"token": token}, headers={"origin": "https://console.corp", "host": "console.corp"}
        )
        cookie = behind_tls.headers["set-cookie"]
        assert cookie.startswith("__Host-genset-console=") and "Secure" in cookie and "Path=/" in cookie


async def test_a_visit_ends_when_somebody_signs_out(running: Site) -> None:
    """security-dashboards-plugin#966, rancher#7581: a cookie that was kept opens nothing any more."""
    client = await running.signed_in("law", "auditor")
    kept = dict(client.cookies)
    async with client.stream("GET", "/news") as news:
        lines = news.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        assert (await client.post("/sign-out", headers={"origin": running.url})).status_code == 303
        async with asyncio.timeout(10):
            assert "event: over" in [line async for line in lines]
    async with httpx.AsyncClient(base_url=running.url, cookies=kept) as thief:
        assert (await thief.get("/fleet")).status_code == 303


async def test_a_visit_ends_with_its_token(running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "REVIEW_SECONDS", 0.6)
    running.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "law", "name": "leaver"}})
    async with running_console(running):
        client = await running.signed_in("law", "leaver")
        assert (await client.get("/fleet")).status_code == 200
        await asyncio.to_thread(running.kubectl, "-n", "law", "delete", "serviceaccount", "leaver")
        async with asyncio.timeout(30):  # the API server remembers tokens for some seconds itself
            while (await client.get("/fleet")).status_code == 200:
                await asyncio.sleep(0.3)


async def test_open_pages_do_not_keep_a_visit_alive(running: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSearch-Dashboards#6110: pages that refresh themselves look like somebody who is there, and are not."""
    monkeypatch.setattr(visits, "IDLE_SECONDS", 2.0)
    async with running_console(running):
        client = await running.signed_in("law", "auditor")
        async with asyncio.timeout(10):
            while (await client.get("/fleet", headers={app.REFRESH: "1"})).status_code == 200:
                await asyncio.sleep(0.2)
        assert (await client.get("/fleet")).status_code == 303


async def test_trials_are_bounded(running: Site) -> None:
    async with running_console(running):
        async with httpx.AsyncClient(base_url=running.url) as client:
            trials = [
                client.post("/sign-in", data={"token": "a.b.c"}, headers={"origin": running.url}) for _ in range(40)
            ]
            found = [answer.status_code for answer in await asyncio.gather(*trials)]
        assert found.count(401) == 30 and found.count(429) == 10
