"""What people see, in a headless Chromium: live, at every width, in both schemes, by keyboard, and when it is cut off."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from genset import names
from testbed.upstream.steps import Answer, Status
from tests.support.console import Site, running_console

PATHS = ("/fleet", "/routes", "/routes/law/assistant", "/continuity", "/cost", "/data", "/request")


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    program = shutil.which("chromium-headless-shell")
    if program is None:
        pytest.skip("there is no browser here; Debian: apt-get install chromium-headless-shell")
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield found
        await found.close()


async def opened(browser: Browser, site: Site, path: str, said: list[str], **more: object) -> Page:
    """Signs in as people do. `said`: what the browser complains of."""
    page = await (await browser.new_context(**more)).new_page()  # type: ignore[arg-type]
    page.set_default_timeout(60_000)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if not request.url.startswith(site.url) else None)
    await page.goto(f"{site.url}{path}")
    token = await asyncio.to_thread(site.token, "law", "auditor", "--audience", names.CONSOLE_AUDIENCE)
    await page.fill("#token", token)
    await page.press("#token", "Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**{path}")
    return page


async def picture(page: Page, name: str) -> None:
    """Keeps what is seen, if somebody wants to look at it."""
    if folder := os.environ.get("GENSET_PICTURES"):
        await page.screenshot(path=Path(folder) / name, full_page=True)


async def test_a_failover_appears_by_itself(running: Site, browser: Browser) -> None:
    said: list[str] = []
    page = await opened(browser, running, "/routes/law/assistant", said)
    await page.wait_for_selector("#live.well")
    running.upstreams["house"].default = Answer(words=4)
    await running.until_answered_by("house")
    await page.evaluate("window.kept = true")
    running.upstreams["house"].default = Status(503)
    await running.ask(1)
    await page.wait_for_selector("section[aria-labelledby=failovers] tbody tr")
    assert await page.evaluate("window.kept"), "the page was not loaded anew"
    await running.ask(12)
    await page.wait_for_selector(".chart canvas")
    await picture(page, "console.png")  # that of docs/console.md
    assert said == []


@pytest.mark.parametrize("width", [360, 1280, 2560])
async def test_no_page_is_cut_or_breaks_its_policy(running: Site, browser: Browser, width: int) -> None:
    said: list[str] = []
    scheme = "dark" if width == 1280 else "light"
    page = await opened(browser, running, "/fleet", said, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for path in PATHS:
        await page.goto(f"{running.url}{path}")
        await page.wait_for_selector("#live.well")
        over = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{path} is wider than {width}"
        await picture(page, f"{path.strip('/').replace('/', '-')}-{width}.png")
    assert said == [], "nothing was asked elsewhere, no script failed, no rule was broken"


async def test_a_page_whose_console_is_gone_says_so(site: Site, browser: Browser) -> None:
    """concourse#479, gardener/dashboard#105: a page that has lost its server goes on showing old figures as if they were new."""
    said: list[str] = []
    async with running_console(site):
        page = await opened(browser, site, "/fleet", said)
        await page.wait_for_selector("#live.well")
    await page.wait_for_selector("#live.bad")
    assert (await page.inner_text("#live")).startswith("not live since")
    assert await page.evaluate("document.body.classList.contains('stale')")


async def test_signing_out_in_one_tab_ends_the_other(running: Site, browser: Browser) -> None:
    page = await opened(browser, running, "/fleet", [])
    other = await page.context.new_page()
    await other.goto(f"{running.url}/routes")
    await other.wait_for_selector("#live.well")
    await page.click("text=Sign out")
    await page.wait_for_url("**/sign-in")
    await other.wait_for_url("**/sign-in?to=%2Froutes", timeout=60_000)


async def test_the_keyboard_reaches_everything(running: Site, browser: Browser) -> None:
    page = await opened(browser, running, "/fleet", [])
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "To the content"
    seen = set()
    for _ in range(14):
        await page.keyboard.press("Tab")
        seen.add(await page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))
    assert {"Fleet", "Routes", "Continuity", "Cost", "Data", "Request", "Sign out", "q", "Search"} <= seen
