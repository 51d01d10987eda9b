"""The command line on a real cluster: who answered, what became of it, and what one looks at first, with a user's own rights."""

from __future__ import annotations

import json
import re

import click
import pytest
from click.testing import Result

from e2e import story
from e2e.typed import typed
from e2e.world import World
from genset.cli import chat, logs, status, top
from testbed.house import House

pytestmark = pytest.mark.timeout(180)


def run(house: House, command: click.Command, *arguments: str) -> Result:
    return typed(house, command, "--context", house.context, "-n", story.NAMESPACE, *arguments)


def test_an_answer_its_trail_and_the_fleet(world: World) -> None:
    house = world.house
    names = run(house, chat.command, "--policy", story.POLICY)
    assert story.HOUSE_FIRST in names.stdout.splitlines(), names.output

    said = run(house, chat.command, "--policy", story.POLICY, story.HOUSE_FIRST, "-m", "count", "--max-tokens", "5")
    assert said.exit_code == 0 and said.stdout.split()[:2] == ["0000", "0001"], said.output
    assert f"{story.HOUSE} (tier 1)" in said.stderr and f"asked: {story.HOUSE}: ok after" in said.stderr, said.stderr
    found = re.search(r"id (\S+)", said.stderr)
    assert found is not None, said.stderr

    trail = run(house, logs.command, found[1])
    assert trail.exit_code == 0 and f"{story.HOUSE}: ok after" in trail.stdout, trail.output
    assert "POST /v1/chat/completions" in trail.stdout and f"{story.POLICY}-router-" in trail.stdout

    refused = run(house, chat.command, "--policy", story.POLICY, "no-such-model", "-m", "count")
    assert refused.exit_code == 1 and "no-such-model" in refused.stderr, refused.output
    failed = run(house, logs.command, "--failed", "--since", "5m", "--last", "1")
    assert "404" in failed.stdout and "no-such-model" in failed.stdout, failed.output

    now = json.loads(run(house, top.command, "--policy", story.POLICY, "-o", "json", "--interval", "1").stdout)
    assert {story.HOUSE, story.FRONTIER} <= {one["backend"] for one in now["backends"]}, now

    fleet = run(house, status.command)
    assert story.DEPLOYMENT in fleet.stdout and story.POLICY in fleet.stdout, fleet.output
