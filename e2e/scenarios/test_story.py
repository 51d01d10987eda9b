"""The demo's story as assertions: who answers, what is lost (nothing), who takes over, who gives back."""

from __future__ import annotations

import pytest

from e2e import story
from e2e.load import Load
from e2e.world import World

pytestmark = pytest.mark.timeout(300)


async def test_a_streamed_request_is_answered_by_the_house(world: World) -> None:
    answer = await story.house_answers(world.router_url)
    assert (answer.problem, answer.backend) == ("", story.HOUSE)


async def test_the_house_dies_under_load_and_comes_back(world: World) -> None:
    async with Load(world.router_url, story.HOUSE_FIRST, stream=False) as load:
        failover = await story.house_dies(world.house, load)
        assert not failover.lost, f"clients saw {[answer.problem for answer in failover.lost[:5]]}"
        returned = await story.house_returns(load)
    assert not load.lost, f"clients saw {[answer.problem for answer in load.lost[:5]]}"
    print(
        f"first byte from the cloud {failover.seconds_to_first_byte * 1000:.0f} ms after the kill, "
        f"slowest answer {failover.slowest:.2f} s, back at the house after {returned:.1f} s"
    )


async def test_the_cloud_dies_and_the_house_answers(world: World) -> None:
    try:
        async with Load(world.router_url, story.CLOUD_FIRST, stream=False) as load:
            failover = await story.cloud_dies(world.cloud, load)
        assert not failover.lost, f"clients saw {[answer.problem for answer in failover.lost[:5]]}"
        print(f"first byte from the house {failover.seconds_to_first_byte * 1000:.0f} ms after the cloud was killed")
    finally:
        world.cloud.start()
