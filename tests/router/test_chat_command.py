"""`genset chat` shows an answer as it comes, and whose it is, through a real router."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genset.cli import chat
from testbed.router import RunningRouter, cloud, config, house
from testbed.upstream.scripted import ScriptedUpstream
from testbed.upstream.steps import Answer, Break, Status

REFUSES = Status(400, {"error": {"message": "no \x1b[2J such thing"}})


async def talk(router: RunningRouter, *arguments: str, piped: str | None = None) -> Result:
    command = ["--url", router.url, *arguments]
    return await asyncio.to_thread(CliRunner().invoke, chat.command, command, input=piped)


async def test_an_answer_and_whose_it_is(tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=Answer(texts=("Good ", "morning.\n"))) as near,
        ScriptedUpstream() as far,
        RunningRouter(tmp_path, config(house(near.base_url), cloud(far.base_url))) as router,
    ):
        done = await talk(router, "counting", "-m", "hello", "--system", "Be brief.", "--max-tokens", "9")
        assert (done.exit_code, done.stdout) == (0, "Good morning.\n\n"), done.output
        assert done.stderr.startswith("  house (tier 1), first token after 0."), done.stderr
        asked = near.requests[-1].json
        assert asked["max_tokens"] == 9 and [one["content"] for one in asked["messages"]] == ["Be brief.", "hello"]

        near.always(Status(503, {"error": {"message": "Loading model"}}))
        done = await talk(router, "counting", piped="what is piped in\n")
        assert done.exit_code == 0 and "cloud (tier 2)" in done.stderr and "not the first, because of" in done.stderr
        assert far.requests[-1].json["messages"][-1]["content"] == "what is piped in"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (REFUSES, "No whole answer: 400 no \ufffd[2J such thing"),  # a terminal would have been cleared
        (Answer(texts=("a", "b"), brk=Break("rst", after_chunks=2)), "No whole answer: "),
    ],
    ids=["refused", "broken"],
)
async def test_an_answer_that_failed_is_told(answer: Answer | Status, said: str, tmp_path: Path) -> None:
    async with (
        ScriptedUpstream(default=answer) as near,
        RunningRouter(tmp_path, config(house(near.base_url))) as router,
    ):
        done = await talk(router, "counting", "-m", "hello")
        assert done.exit_code == 1 and said in done.stderr, done.output


async def test_names_are_listed_and_what_is_not_there_is_told(tmp_path: Path) -> None:
    async with ScriptedUpstream() as near:
        async with RunningRouter(tmp_path, config(house(near.base_url))) as router:
            done = await talk(router)
            assert done.exit_code == 0 and done.stdout.strip(), done.output
        done = await talk(router, "counting", "-m", "hello")
        assert done.exit_code == 1 and "No whole answer: http://127.0.0.1" in done.stderr, done.output


def test_where_has_to_be_said() -> None:
    done = CliRunner().invoke(chat.command, ["assistant"])
    assert done.exit_code == 2 and "-n NAMESPACE, or --url" in done.output
