"""Under enforced NetworkPolicies: ways out that are tried, the record of what leaves the house, keys that change."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from e2e import story
from e2e.typed import typed
from e2e.world import World, until
from genset import names
from genset.cli.egress import command as egress
from genset.cli.key import command as key
from testbed.house import OPERATOR_NAMESPACE, House, Object
from testbed.resources import route_policy, service_to
from testbed.upstream.counted_cloud import CountedCloud
from testbed.upstream.packets import PacketCounter

pytestmark = [pytest.mark.timeout(420), pytest.mark.needs_embedded_cluster]
PYTHON = "/opt/genset/bin/python3"
IBAN = "please pay to DE89 3704 0044 0532 0130 00 today"
#: Tries ways out at once, (name, protocol, host, port) each. A way that answers, or takes a connection, is one.
PROBE = """
import concurrent.futures, json, socket, sys
def tries(way):
    name, protocol, host, port = way
    try:
        if protocol == "name":
            return name, bool(socket.getaddrinfo(host, port))
        family, _, _, _, address = socket.getaddrinfo(host, port)[0]
        with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as made:
            made.settimeout(3)
            made.connect(address)
            if protocol == "udp":
                made.send(b"ping")
                made.recv(9)
        return name, True
    except OSError:
        return name, False
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    print(json.dumps(dict(pool.map(tries, json.loads(sys.argv[1])))))
"""
Way = tuple[str, str, str, int]
DNS_PORT = 53


# Ten ways out


class Echo(asyncio.DatagramProtocol):
    """Answers what it is sent."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.transport.sendto(data, address)


@contextlib.asynccontextmanager
async def outside(host: str, port: int = 0) -> AsyncIterator[int]:
    """A server outside the cluster, with TCP and UDP at one port: whoever reaches it has found a way out."""
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(lambda _, writer: writer.close(), host, port)
    port = server.sockets[0].getsockname()[1]
    transport, _ = await loop.create_datagram_endpoint(Echo, (host, port))
    try:
        yield port
    finally:
        transport.close()
        server.close()


async def tried(house: House, namespace: str, pod: str, container: str, ways: list[Way]) -> dict[str, bool]:
    """Says which ways a container finds open."""
    command = ("-n", namespace, "exec", pod, "-c", container, "--", PYTHON, "-c", PROBE, json.dumps(ways))
    found: dict[str, bool] = json.loads(await asyncio.to_thread(house.kubectl, *command))
    return found


def bystander(house: House, namespace: str) -> Object:
    """A pod that no NetworkPolicy selects: what it reaches is there to be reached."""
    container = {
        "name": "router", "image": house.image, "imagePullPolicy": "IfNotPresent",
        "command": [PYTHON, "-c", "import time; time.sleep(3600)"],
    }  # fmt: skip
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": "bystander"},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


def only_pod(house: House, namespace: str, selector: str) -> Object:
    return next(pod for pod in house.list("pods", namespace, selector) if pod["status"].get("podIP"))


@contextlib.contextmanager
def applied(house: House, *policies: Object) -> Iterator[None]:
    """Policies that serve while the block lasts, in the namespace of the world's deployment."""
    house.apply(*policies)
    try:
        for one in policies:
            house.until("rp", one["metadata"]["namespace"], one["metadata"]["name"], "Ready", seconds=120)
        yield
    finally:
        for one in policies:
            house.kubectl("-n", one["metadata"]["namespace"], "delete", "rp", one["metadata"]["name"])


async def test_a_policy_for_the_house_alone_has_no_way_out(world: World, scratch: str) -> None:
    house, cloud = world.house, httpx.URL(world.cloud.base_url)
    policy = world.sample("RoutePolicy", story.POLICY)
    policy["metadata"]["name"], policy["spec"]["dataZones"] = "closed", ["house"]
    for route in policy["spec"]["routes"]:
        route["tiers"] = [{"backends": [{"name": story.FRONTIER}]}, {"backends": [{"name": story.HOUSE}]}]
    await asyncio.to_thread(house.apply, bystander(house, scratch))
    with applied(house, policy):
        house.kubectl("-n", scratch, "wait", "--for=condition=Ready", "pod/bystander", "--timeout=60s")
        assert (house.get("rp", story.NAMESPACE, "closed") or {})["status"]["dataZones"] == "house"
        engine = only_pod(house, story.NAMESPACE, story.ENGINE_PODS)
        operator = only_pod(house, OPERATOR_NAMESPACE, f"{names.LABEL_OPERATOR}={names.OPERATOR}")
        other = only_pod(house, story.NAMESPACE, f"{names.LABEL_ROUTE_POLICY}={story.POLICY}")
        own = only_pod(house, story.NAMESPACE, f"{names.LABEL_ROUTE_POLICY}=closed")["metadata"]["name"]
        node = str(cloud.host)
        async with outside(node) as port, outside(node, DNS_PORT):
            await asyncio.to_thread(house.apply, *service_to(scratch, "elsewhere", node, port))
            ways: list[Way] = [
                ("the cloud", "tcp", node, int(cloud.port or 443)),
                ("another port of it", "tcp", node, port),
                ("UDP", "udp", node, port),
                ("the port of DNS, where no DNS server is", "udp", node, DNS_PORT),
                ("the same by TCP", "tcp", node, DNS_PORT),
                ("the API server's Service", "tcp", "kubernetes.default.svc", 443),
                ("a Service of another namespace", "tcp", f"elsewhere.{scratch}.svc", port),
                ("the operator", "tcp", operator["status"]["podIP"], 9090),
                ("the router of a policy that has a way out", "tcp", other["status"]["podIP"], names.ROUTER_PORT),
            ]
            never: list[Way] = [
                ("the kubelet", "tcp", node, 10250),
                ("the cloud's address as IPv6 writes it", "tcp", f"::ffff:{node}", int(cloud.port or 443)),
                ("the metadata service", "tcp", "169.254.169.254", 80),
                ("a host of the internet", "tcp", "one.one.one.one", 443),
                ("an address of the internet", "tcp", "1.1.1.1", 443),
            ]
            reached: dict[str, bool] = {}
            for _ in range(15):  # the node follows a new Service within seconds
                reached = await tried(house, scratch, "bystander", "router", ways)
                if all(reached.values()):
                    break
                await asyncio.sleep(1)
            assert all(reached.values()), f"the probe does not tell: {reached}"
            found = await tried(house, story.NAMESPACE, own, "router", [*ways, *never])
            assert not any(found.values()), f"ways out: {[name for name, is_open in found.items() if is_open]}"
            at_engine: list[Way] = [("its engine", "tcp", engine["status"]["podIP"], names.ENGINE_PORT)]
            assert await tried(house, story.NAMESPACE, own, "router", at_engine) == {"its engine": True}
            names_of: list[Way] = [("DNS", "name", f"{story.POLICY}-router.{story.NAMESPACE}.svc", 80)]
            assert await tried(house, story.NAMESPACE, own, "router", names_of) == {"DNS": True}
            script = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{node}/{port}' 2>/dev/null && echo reached || echo refused"
            through = house.kubectl(
                "-n", story.NAMESPACE, "exec", engine["metadata"]["name"], "-c", "engine", "--", "bash", "-c", script
            )
            assert through.strip() == "refused", "an engine would be a way out of its routers"
        url = world.service_url(story.NAMESPACE, "closed-router") + "/v1"
        for model in (story.HOUSE_FIRST, story.CLOUD_FIRST):
            answer = await story.one_answer(url, model)
            assert answer.backend == story.HOUSE and not answer.problem, "the house answers in place of the cloud"
        secret = house.get("secret", story.NAMESPACE, "closed-router-credentials")
        assert secret is None or not secret.get("data"), "no key of a cloud that is never asked"


# What leaves, and its record


@dataclass
class Recorded:
    """A policy with a cloud that counts, behind it a house; what leaves is written down."""

    world: World
    far: CountedCloud
    url: str

    def pods(self) -> list[Object]:
        return self.world.house.list("pods", story.NAMESPACE, f"{names.LABEL_ROUTE_POLICY}=recorded")

    def read(self) -> list[dict[str, Any]]:
        """Returns what `genset egress -n NAMESPACE POLICY -o json` prints."""
        asked = ("-n", story.NAMESPACE, "recorded", "--since", "1h", "-o", "json")
        done = typed(self.world.house, egress, *asked)
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]


@contextlib.asynccontextmanager
async def recorded(world: World, *, delay: float = 0.0, **more: Any) -> AsyncIterator[Recorded]:
    async with CountedCloud(delay=delay, host=str(httpx.URL(world.cloud.base_url).host)) as far:
        backends = [
            {
                "name": "far",
                "dataZone": "us",
                "cloud": {"provider": "openAICompatible", "model": "large", "baseURL": far.base_url},
            },
            {"name": "house", "deployment": {"name": story.DEPLOYMENT}},
        ]
        policy = route_policy(
            story.NAMESPACE, "recorded", backends, "far", "house", egress={"record": "Required"}, **more
        )
        policy["spec"]["routes"][0]["sensitive"] = {"detect": ["iban"], "then": "House"}
        policy["spec"]["router"]["replicas"] = 2
        with applied(world.house, policy):
            yield Recorded(world, far, world.service_url(story.NAMESPACE, "recorded-router") + "/v1/chat/completions")


def body(text: str, *, stream: bool = False) -> Object:
    return {"model": "any", "messages": [{"role": "user", "content": text}], "stream": stream, "max_tokens": 8}


async def test_what_is_sensitive_stays_and_the_rest_is_written_down(world: World) -> None:
    async with recorded(world) as rig, httpx.AsyncClient(trust_env=False, timeout=30) as http:
        served = []
        for number, text in enumerate((IBAN, "hello", IBAN, "good morning")):
            answer = await http.post(rig.url, json=body(text), headers={"x-request-id": f"s{number}"})
            assert answer.status_code == 200, answer.text
            served.append(answer.headers["x-genset-backend"])
        tight = await http.post(rig.url, json=body("hello"), headers={"x-genset-data-zones": "house"})
        assert served == ["house", "far", "house", "far"] and tight.headers["x-genset-backend"] == "house"
        assert set(rig.far.bytes_in) == {"s1", "s3"}, "what is sensitive has reached the cloud"
        await until(lambda: all(one["ended"] for one in rig.read()), "the records are whole", seconds=20)
        found = rig.read()
        assert {one["request"]: (one["bytes_out"], one["bytes_in"]) for one in found} == {
            name: (size, rig.far.bytes_out[name]) for name, size in rig.far.bytes_in.items()
        }
        assert {(one["zone"], one["backend"], one["host"], one["policy"]) for one in found} == {
            ("us", "far", rig.far.host, f"{story.NAMESPACE}/recorded")
        }


def kill(pod: Object) -> None:
    """Sends SIGKILL to the router of a pod, from the node: inside its container it is the first process, which nothing kills."""
    uid = pod["metadata"]["uid"]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            cgroup, command = (process / "cgroup").read_text(), (process / "cmdline").read_bytes()
            if (uid in cgroup or uid.replace("-", "_") in cgroup) and b"genset\0router" in command:
                os.kill(int(process.name), signal.SIGKILL)
                return
    raise AssertionError(f"no router runs in pod {pod['metadata']['name']}")


class Clients:
    """Eight clients that ask, each request by a connection of its own so that both routers are asked, until it is enough.

    A request that breaks is asked again under a name of its own.
    """

    def __init__(self, url: str) -> None:
        self.url, self.answered, self.enough = url, 0, asyncio.Event()

    async def play(self) -> None:
        numbers = itertools.count()
        unkept = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(trust_env=False, timeout=20, limits=unkept) as http:
            await asyncio.gather(*(self._client(http, numbers) for _ in range(8)))

    async def _client(self, http: httpx.AsyncClient, numbers: Iterator[int]) -> None:
        for number in itertools.takewhile(lambda _: not self.enough.is_set(), numbers):
            for attempt in range(100):
                headers = {"x-request-id": f"k{number}-{attempt}"}
                with contextlib.suppress(httpx.TransportError):
                    answer = await http.post(self.url, json=body("count", stream=number % 2 == 0), headers=headers)
                    if answer.status_code == 200 and (number % 2 or "[DONE]" in answer.text):
                        break
                await asyncio.sleep(0.1)
            else:
                raise AssertionError(f"request {number} was never answered")
            self.answered += 1


async def test_records_equal_the_packet_counter_across_kills(world: World) -> None:
    """Requests without a pause, routers killed in the middle of them: what has no record has not left."""
    async with recorded(world, delay=0.03) as rig:
        await until(lambda: sum(is_ready(world, pod) for pod in rig.pods()) == 2, "both routers run", seconds=90)
        with PacketCounter(rig.far.port) as packets:
            clients = Clients(rig.url)
            playing = asyncio.create_task(clients.play())

            async def answers_to(number: int) -> None:
                goal = clients.answered + number
                await until(lambda: playing.done() or clients.answered >= goal, "clients are answered", seconds=60)

            for victim in (0, 1, 0):
                await answers_to(100)
                pod = sorted(rig.pods(), key=lambda pod: str(pod["metadata"]["name"]))[victim]
                kill(pod)
                restarted = restarts(pod) + 1
                await until(
                    lambda pod=pod, restarted=restarted: is_ready(world, pod, restarted),  # type: ignore[misc]
                    "the victim serves again",
                    seconds=90,
                )
            await answers_to(200)
            clients.enough.set()
            await playing
        found = rig.read()
        by_request = {one["request"]: one for one in found}
        assert clients.answered >= 500 and len({one["incarnation"] for one in found}) == 5, "routers were killed"
        assert set(rig.far.bytes_in) <= set(by_request), "something left the house without a record"
        finished = {name: one for name, one in by_request.items() if one["ended"]}
        assert {name: (one["bytes_out"], one["bytes_in"]) for name, one in finished.items()} == {
            name: (rig.far.bytes_in[name], rig.far.bytes_out[name]) for name in finished
        }
        killed = [one for one in found if not one["ended"]]
        assert len(killed) <= 3 * 8 and len(finished) >= clients.answered
        told = sum(one["bytes_out"] or 0 for one in found)
        unsure = sum(one["bytes_out"] or 1_000 for one in killed)  # nobody knows whether it left
        assert abs(told - packets.load) <= unsure, (told, packets.load, unsure)
        assert packets.connections == rig.far.connections and packets.load >= sum(rig.far.bytes_in.values())


def is_ready(world: World, pod: Object, restarted: int = 0) -> bool:
    """Whether a router's pod serves, after so many restarts of its container."""
    now = world.house.get("pod", story.NAMESPACE, pod["metadata"]["name"]) or {"status": {}}
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in now["status"].get("conditions", ()))
    return ready and restarts(now) >= restarted


def restarts(pod: Object) -> int:
    return sum(int(one["restartCount"]) for one in pod["status"].get("containerStatuses", ()))


# Keys


def keys(house: House, *arguments: str) -> str:
    done = typed(house, key, *arguments)
    assert done.exit_code == 0, done.output
    return str(done.stdout)


async def test_keys_are_rotated_under_load_without_one_refusal(world: World, scratch: str) -> None:
    house, statuses = world.house, Counter[int]()
    flags = ("invoices", "--secret", "team-keys", "-n", scratch)
    made = yaml.safe_load(await asyncio.to_thread(keys, house, "create", *flags))
    current = next(
        line for line in made["stringData"]["invoices"].splitlines() if line.strip() and not line.startswith("#")
    )
    async with CountedCloud(host=str(httpx.URL(world.cloud.base_url).host)) as far:
        cloud = {"provider": "openAICompatible", "model": "large", "baseURL": far.base_url}
        ref = {"name": "team-keys", "key": "invoices"}
        access = {"mode": "Required", "consumers": [{"name": "invoices", "keysSecretRef": ref}]}
        policy = route_policy(scratch, "guarded", [{"name": "far", "cloud": cloud}], "far", access=access)
        policy["spec"]["router"]["replicas"] = 2
        house.apply(made)
        with applied(house, policy):
            url = world.service_url(scratch, "guarded-router") + "/v1"
            stop = asyncio.Event()

            async def client() -> None:
                async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
                    while not stop.is_set():
                        sent = {"authorization": f"Bearer {current}"}
                        answer = await http.post(f"{url}/chat/completions", json=body("hello"), headers=sent)
                        statuses[answer.status_code] += 1
                        await asyncio.sleep(0.02)

            def everywhere(bearer: str, status: int) -> bool:
                """Says whether every router answers so: each connection is to one of the two. Wrong keys are slowed."""
                sent, tries = {"authorization": f"Bearer {bearer}"}, 24 if status == 200 else 6
                return all(
                    httpx.get(f"{url}/models", headers=sent, trust_env=False, timeout=20).status_code == status
                    for _ in range(tries)
                )

            assert (await asyncio.to_thread(httpx.get, f"{url}/models", trust_env=False)).status_code == 401
            work = [asyncio.create_task(client()) for _ in range(4)]
            for number in range(3):
                old = current
                new = (await asyncio.to_thread(keys, house, "create", *flags, "--apply")).strip().splitlines()[-1]
                await until(lambda new=new: everywhere(new, 200), "every router takes the new key", seconds=120)  # type: ignore[misc]
                current = new
                await asyncio.sleep(0.5)  # requests with the old one end
                listed = json.loads(await asyncio.to_thread(keys, house, "list", "-n", scratch, "-o", "json"))
                assert len(listed) == 2, f"rotation {number}: both are in force"
                assert old not in json.dumps(listed) and new not in json.dumps(listed), "keys are never shown again"
                await asyncio.to_thread(keys, house, "revoke", listed[0]["id"], "-n", scratch)
                await until(lambda old=old: everywhere(old, 401), "no router takes the old key", seconds=120)  # type: ignore[misc]
            stop.set()
            await asyncio.gather(*work)
    assert set(statuses) == {200} and statuses[200] > 50, statuses
