"""Each page says what the API server, the router and the ledger say; all of it on a real one of each."""

from __future__ import annotations

import html
import re
import time
from decimal import Decimal

import httpx

from genset.console import words
from testbed.upstream.steps import Answer, Status
from tests.support.console import EVIL, Site


def text(page: str) -> str:
    """What a person reads of a page: no tags, one blank between words."""
    body = page[page.index("<main") : page.index("</main>")]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


async def test_the_fleet_is_what_the_api_server_says(running: Site) -> None:
    client = await running.signed_in("law", "auditor")
    page = text((await client.get("/fleet")).text)
    assert "Models 3 As they should be 1 Not as they should be 2 Replicas ready 2" in page
    assert "law/ small qwen Ready 2 of 2 Small Fast llama.cpp node-a, node-b" in page and "9.0 GiB" in page
    assert "Downloading 40 % 2.0 GiB of 5.0 GiB 0 of 1" in page
    assert "plant/vision Ready: NoNodeFits no node has 80Gi" in page


async def test_a_failover_is_on_the_page_within_two_seconds(running: Site) -> None:
    client = await running.signed_in("law", "auditor")
    house, took = running.upstreams["house"], []
    await running.until(client, "/routes/law/assistant", "router-1.*?serves")
    for marks in range(1, 6):  # a busy machine may be late once, and is not always
        house.default = Answer(words=4)
        await running.until_answered_by("house")
        house.default = Status(503)
        began = time.monotonic()
        assert (await running.ask(1))[0] in ("paris", "frontier")
        while (told := await failovers(client)) < marks:
            assert time.monotonic() - began < 30, told
        took.append(time.monotonic() - began)
        if took[-1] < 2.0:
            break
    assert min(took) < 2.0, took
    page = text((await client.get("/routes/law/assistant")).text)
    assert re.search(r"Last failover \d+ s ago", page) and "everyday" in page


async def failovers(client: httpx.AsyncClient) -> int:
    """How many failovers the page lists."""
    page = (await client.get("/routes/law/assistant")).text
    listed = page[page.index('id="failovers"') : page.index('id="routers"')]
    return sum(map(int, re.findall(r'data-label="Answers"[^>]*>(\d+)<', listed)))


async def test_backends_are_shown_as_the_router_knows_them(running: Site) -> None:
    client = await running.signed_in("law", "auditor")
    running.upstreams["house"].default = Status(503)
    deadline, wanted, page = time.monotonic() + 60, "", ""
    while not (wanted and wanted in page):
        assert time.monotonic() < deadline, (wanted, page)
        await running.ask(1)  # its breaker opens once the router has proved it
        seen = (await running.state())["backends"]["house"]
        wanted = "" if seen["admits"] else f"passed over house · small · zone house {seen['whyNot'].replace('_', ' ')}"
        page = text((await client.get("/routes/law/assistant")).text)
    assert "Tier 2 · asked now" in page and "files takes archive, <script>" in page
    assert "No tier can be asked now." in page


async def test_continuity_is_what_the_operator_has_written(running: Site) -> None:
    page = text((await (await running.signed_in("law", "auditor")).get("/continuity")).text)
    assert "Losses that end a route 1 That degrade one 1 That nobody notices 1 Drills 1" in page
    assert page.index("files House Lost") < page.index("everyday House Degraded"), "the worst first"
    assert "Cloud, Blackhole Passed" in page and "Passed: answered again after 0.4 s" in page


async def test_costs_are_those_of_the_ledger(running: Site) -> None:
    client = await running.signed_in("law", "auditor")
    page = text((await client.get("/cost?span=day&by=team")).text)
    by_hand = running.traffic.by_hand("team")
    for team, sums in by_hand.items():
        cost = words.money({"EUR": sums.get("cost EUR", Decimal()), "USD": sums.get("cost USD", Decimal())})
        assert f"{team} {cost.replace(chr(0xA0), ' ')}" in page.replace("\u00a0", " "), (team, cost, page)
    requests = sum(int(sums["requests"]) for sums in by_hand.values())
    assert f"Requests {requests}" in page and "412.50 of 500 USD, 82 %" in page
    rows = (await client.get("/cost.csv?span=day")).text.splitlines()
    head = rows[0].split(",")
    told = [dict(zip(head, row.split(","), strict=True)) for row in rows[1:]]
    spent = sum(Decimal(row["cost"]) for row in told if row["currency"] == "USD")
    assert spent == sum(sums.get("cost USD", Decimal()) for sums in by_hand.values())
    assert sum(int(row["requests"] or 0) for row in told) == requests


async def test_a_request_s_trail_is_what_was_written_down(running: Site) -> None:
    client = await running.signed_in("law", "auditor")
    two = [one for spool in running.traffic.spools.values() for one in spool if len(one.get("attempts", ())) == 2]
    asked = next(one for one in two if one["attempts"][0]["zone"] != "house")
    page = text((await client.get("/request", params={"id": asked["request"]})).text)
    for attempt in asked["attempts"]:
        assert attempt["backend"] in page and attempt["outcome"] in page
    assert asked["consumer"] in page and words.took(asked["seconds"] / 2) in page, "the first took half of the time"
    assert "knows no such request" in text((await client.get("/request?id=nobody-s")).text)
    for odd in ("../v1/usage", "a b", "x" * 129, ".."):
        assert (await client.get("/request", params={"id": odd})).status_code == 200
        assert "no request id" in text((await client.get("/request", params={"id": odd})).text) or "/" in odd


async def test_what_left_the_house_is_the_egress_record(running: Site) -> None:
    client = await running.signed_in("law", "auditor")
    page = text((await client.get("/data?span=day")).text)
    attempts = [at for spool in running.traffic.spools.values() for one in spool for at in one.get("attempts", ())]
    for zone in ("eu", "us"):
        assert f"To {zone} {sum(at['zone'] == zone for at in attempts)} " in page
    assert "law/ assistant eu,house,us eu: paris; house: house; us: frontier files: house" in page
    rows = (await client.get("/data.csv?span=day")).text.splitlines()
    assert len(rows) == 1 + sum(at["zone"] != "house" for at in attempts)


async def test_whatever_users_and_providers_write_is_text(running: Site) -> None:
    """kubernetes-retired/dashboard#1361, volcano-sh/dashboard#276: names, messages and queries that are markup."""
    client = await running.signed_in("law", "auditor")
    for path in (
        "/fleet",
        "/routes",
        "/routes/law/assistant",
        f"/fleet?q={EVIL}",
        f"/request?id={EVIL}",
        "/cost?span=%22%3E",
    ):
        page = (await client.get(path)).text
        assert EVIL not in page and "<script>" not in page, path
    assert html.escape(EVIL) in (await client.get("/fleet")).text


async def test_long_lists_are_searched_and_paged(running: Site) -> None:
    client = await running.signed_in("law", "auditor")
    page = text((await client.get("/fleet?q=SMALL")).text)
    assert "1 to 1 of 1 found, 3 in all" in page and "loading" not in page
    assert "No model has these words" in text((await client.get("/fleet?q=nothing-like-it")).text)
    assert (await client.get("/fleet?page=99999")).status_code == 200


async def test_answers_tell_browsers_what_they_may(running: Site) -> None:
    for path in ("/sign-in", "/fleet", "/nowhere", "/static/x/y"):
        headers = (await httpx.AsyncClient(base_url=running.url).get(path)).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
        assert "server" not in headers
