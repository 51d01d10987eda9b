"""What dies while clients are served: the operator, the API server, a router, the configuration under their feet."""

from __future__ import annotations

import asyncio
import time

import pytest

from e2e import story
from e2e.load import Load
from e2e.world import World, until
from testbed.house import OPERATOR_NAMESPACE
from testbed.resources import cloud_target, model_deployment, route_policy, secret

pytestmark = pytest.mark.timeout(300)
OPENAI_RETRIES = 2  # openai-python, _constants.py, DEFAULT_MAX_RETRIES
OPERATOR_PODS = "app.kubernetes.io/component=operator"
ROUTER_PODS = f"genset.dev/routepolicy={story.POLICY},app.kubernetes.io/component=router"


async def test_the_operator_is_killed_while_it_reconciles(world: World, scratch: str) -> None:
    """Twenty resources, and both operator pods killed in the middle: each still reaches what was asked for."""
    resources = [
        model_deployment(scratch, f"model-{i}", world.weights.source("counting.gguf"), replicas=0) for i in range(20)
    ]
    world.house.apply(*resources)
    await until(lambda: len(world.house.list("deployments", scratch)) >= 3, "the first Deployments", seconds=30)
    world.house.kubectl(
        "-n", OPERATOR_NAMESPACE, "delete", "pods", "-l", OPERATOR_PODS, "--grace-period=0", "--force", "--wait=false"
    )
    await until(
        lambda: len(world.house.list("deployments", scratch)) == 20, "a Deployment for each of 20 resources", seconds=90
    )
    for i in range(20):
        await asyncio.to_thread(world.house.until, "mdep", scratch, f"model-{i}", "Accepted", seconds=60)


@pytest.mark.needs_embedded_cluster
async def test_the_api_server_is_away_for_20_seconds(world: World) -> None:
    async with Load(world.router_url, story.HOUSE_FIRST) as load:
        await load.until_answered_by(story.HOUSE, since=0, seconds=20)
        await asyncio.to_thread(world.cluster.stop_apiserver)
        stopped = time.monotonic()
        try:
            await asyncio.sleep(20)
        finally:
            await asyncio.to_thread(world.cluster.start_apiserver)
        during = [a for a in load.answers if a.started >= stopped]
        assert len(during) > 50, f"only {len(during)} requests were answered while the API server was away"
        await asyncio.sleep(2)
    assert not load.lost, f"clients saw {[answer.problem for answer in load.lost[:5]]}"
    await asyncio.to_thread(world.house.until, "rp", story.NAMESPACE, story.POLICY, "Ready", seconds=60)
    await asyncio.to_thread(world.until_services_follow, 90)


async def test_a_router_pod_is_killed_under_load(world: World) -> None:
    """Clients that retry once, as OpenAI's libraries do, lose nothing."""
    async with Load(world.router_url, story.HOUSE_FIRST, stream=False, retries=1) as load:
        await load.until_answered_by(story.HOUSE, since=0, seconds=20)
        victim = world.house.list("pods", story.NAMESPACE, ROUTER_PODS)[0]["metadata"]["name"]
        await asyncio.to_thread(
            world.house.kubectl, "-n", story.NAMESPACE, "delete", "pod", victim, "--grace-period=0", "--force"
        )
        await asyncio.sleep(8)
    assert not load.lost, f"clients saw {[answer.problem for answer in load.lost[:5]]}"
    await asyncio.to_thread(world.house.until, "rp", story.NAMESPACE, story.POLICY, "Ready", seconds=60)


async def test_routers_are_rolled_under_load(world: World) -> None:
    """A rolling restart drains: every stream ends whole.

    Clients may have to connect again, as often as OpenAI's own library does: how soon a Service forgets a pod that is
    going away is kube-proxy's affair.
    """
    async with Load(world.router_url, story.HOUSE_FIRST, tokens=200, retries=OPENAI_RETRIES) as load:
        await load.until_answered_by(story.HOUSE, since=0, seconds=20)
        deployment = (
            f"deployment/{world.house.list('deployments', story.NAMESPACE, ROUTER_PODS)[0]['metadata']['name']}"
        )
        await asyncio.to_thread(world.house.kubectl, "-n", story.NAMESPACE, "rollout", "restart", deployment)
        await asyncio.to_thread(
            world.house.kubectl, "-n", story.NAMESPACE, "rollout", "status", deployment, "--timeout=120s", seconds=130
        )
    assert not load.lost, f"clients saw {[answer.problem for answer in load.lost[:5]]}"


async def test_the_configuration_changes_under_load(world: World) -> None:
    """Ten changes of the policy while clients are served; each is programmed, and no request fails."""
    policy = world.sample("RoutePolicy", story.POLICY)
    async with Load(world.router_url, story.HOUSE_FIRST) as load:
        await load.until_answered_by(story.HOUSE, since=0, seconds=20)
        for total in range(301, 311):
            policy["spec"]["routes"][0]["failover"] = {"totalSeconds": total}
            await asyncio.to_thread(world.house.apply, policy)
            await asyncio.to_thread(world.house.until, "rp", story.NAMESPACE, story.POLICY, "Programmed", seconds=30)
    assert not load.lost, f"clients saw {[answer.problem for answer in load.lost[:5]]}"
    world.house.apply(world.sample("RoutePolicy", story.POLICY))


async def test_a_rotated_secret_reaches_running_routers(world: World, scratch: str) -> None:
    """A wrong key is refused by the cloud; the right one works within seconds, and no router pod is restarted."""
    cloud = {
        "name": "frontier",
        "cloud": cloud_target(world.cloud.base_url),
    }
    ca = world.cloud.ca_file.read_text()
    world.house.apply(
        secret(scratch, "cloud", apiKey="wrong", **{"ca.crt": ca}),
        route_policy(scratch, "rotate", [cloud], "frontier"),
    )
    await asyncio.to_thread(world.house.until, "rp", scratch, "rotate", "Ready", seconds=90)
    url = world.service_url(scratch, "rotate-router") + "/v1"
    refused = await story.one_answer(url, "anything")
    assert refused.status == 502, f"with a wrong key the client saw {refused.problem}"
    pods = {pod["metadata"]["uid"] for pod in world.house.list("pods", scratch)}

    world.house.apply(secret(scratch, "cloud", apiKey=world.cloud.api_key, **{"ca.crt": ca}))
    rotated = time.monotonic()
    while (answer := await story.one_answer(url, "anything")).problem:
        assert time.monotonic() - rotated < 30, f"30 s after the rotation clients still see {answer.problem}"
        await asyncio.sleep(0.2)
    print(f"a rotated Secret worked after {time.monotonic() - rotated:.1f} s")
    assert {pod["metadata"]["uid"] for pod in world.house.list("pods", scratch)} == pods, "a router was restarted"
