"""`python -m e2e.demo up|down`: plays the story, then leaves everything running for you to try; or ends it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator

import click

from e2e import story
from e2e.demo import chapters
from e2e.demo.printing import Printer
from e2e.load import Load
from e2e.world import World
from testbed.cluster import choose
from testbed.cluster.cluster import Cluster
from testbed.cluster.console import reported
from testbed.cluster.processes import Daemons
from testbed.cluster.store import cache_root
from testbed.house import House, KubectlError

FOLDER = cache_root() / "demo"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The main job on a real cluster: two resources, a failover, a failback."""


@main.command()
def up() -> None:
    """Play the story and leave it running."""
    with reported(), told():
        printer = Printer()
        printer.title("Setting up")
        world = World.prepare(FOLDER, printer.done)
        asyncio.run(play(world, printer))
        closing(world, printer)


@main.command()
def down() -> None:
    """End what the demo started, and remove the embedded cluster."""
    with reported():
        ended = Daemons(FOLDER).stop_all()
        choice = choose.resolve(images=False)
        if choice.embedded:
            Cluster().down()
            click.echo(f"Ended {ended} processes of the demo and removed the cluster")
        else:
            click.echo(
                f"Ended {ended} processes of the demo. On {choice.context} remove what it installed with:\n"
                f"  kubectl --context {choice.context} delete namespace {story.NAMESPACE}\n"
                f"  helm --kube-context {choice.context} -n genset-system uninstall genset"
            )


@contextlib.contextmanager
def told() -> Iterator[None]:
    """What can go wrong, as one message instead of a traceback."""
    try:
        yield
    except (KubectlError, TimeoutError, RuntimeError, subprocess.TimeoutExpired) as error:
        raise click.ClickException(
            f"{error}\nThe cluster is left as it is, to look at; `make demo-down` ends it."
        ) from error


async def play(world: World, printer: Printer) -> None:
    await _resources_become_ready(world, printer)
    await _house_answers(world, printer)
    await _house_dies_and_returns(world, printer)
    await _cloud_dies(world, printer)
    for chapter in (chapters.prepared, chapters.drilled, chapters.refused, chapters.paid):
        chapter(world, printer)


async def _resources_become_ready(world: World, printer: Printer) -> None:
    house = world.house
    printer.title("a. Two resources become a served model and a router")
    started = time.monotonic()
    house.apply(*world.samples)
    printer.done(f"Applied manifests/samples/demo: {', '.join(o['kind'] for o in world.samples)}")
    house.until(
        "mdep", story.NAMESPACE, story.DEPLOYMENT, "Ready", seconds=180, progress=lambda o: printer.waiting(_where(o))
    )
    printer.done(
        f"ModelDeployment {story.NAMESPACE}/{story.DEPLOYMENT} is Ready after {time.monotonic() - started:.1f} s: "
        "weights fetched and verified, a real completion succeeded"
    )
    house.until(
        "rp", story.NAMESPACE, story.POLICY, "Ready", seconds=120, progress=lambda o: printer.waiting(_where(o))
    )
    printer.done(f"RoutePolicy {story.NAMESPACE}/{story.POLICY} is Ready after {time.monotonic() - started:.1f} s")
    printer.output("kubectl -n models get mdep,rp,pods", house.kubectl("-n", "models", "get", "mdep,rp,pods"))


async def _house_answers(world: World, printer: Printer) -> None:
    printer.title("b. A streamed request is answered by the house")
    answer = await story.house_answers(world.router_url)
    printer.done(
        f"x-genset-backend: {answer.backend}, first token after {answer.seconds_to_first_byte * 1000:.0f} ms, "
        f"whole answer after {(answer.ended - answer.started) * 1000:.0f} ms"
    )


async def _house_dies_and_returns(world: World, printer: Printer) -> None:
    printer.title("c. The house is killed under a running load")
    async with Load(world.router_url, story.HOUSE_FIRST, stream=False) as load:
        failover = await story.house_dies(world.house, load)
        printer.failover("the house was killed (SIGKILL)", "the cloud", failover)
        printer.title("d. The house comes back")
        seconds = await story.house_returns(load)
        printer.done(f"Traffic is back at the house by itself, {seconds:.1f} s later")
        printer.answers(load)


async def _cloud_dies(world: World, printer: Printer) -> None:
    printer.title("e. The cloud is killed, for a route that prefers it")
    try:
        async with Load(world.router_url, story.CLOUD_FIRST, stream=False) as load:
            failover = await story.cloud_dies(world.cloud, load)
            printer.failover("the cloud was killed (SIGKILL)", "the house", failover)
            printer.answers(load)
    finally:
        world.cloud.start()
    printer.done("Started the cloud again")


def closing(world: World, printer: Printer) -> None:
    house: House = world.house
    printer.title("It is yours")
    body = (
        '{"model": "assistant", "stream": true, "max_tokens": 20, "messages": [{"role": "user", "content": "count"}]}'
    )
    printer.plain(
        f"Router:      {world.router_url}\n"
        f"Try:         curl -iN {world.router_url}/chat/completions -H 'content-type: application/json' -d '{body}'\n"
        f"Kubeconfig:  export KUBECONFIG={house.kubeconfig}   # context {house.context}\n"
        f"Look:        {house.kubectl_binary} --kubeconfig {house.kubeconfig} -n {story.NAMESPACE} describe mdep,rp\n"
        "End it:      make demo-down"
    )


def _where(found: dict[str, object]) -> str:
    """The first condition that does not hold, as progress."""
    status = found.get("status")
    if not isinstance(status, dict):
        return "waiting for the operator"
    for condition in status.get("conditions", ()):
        if condition["status"] != "True":
            return f"{condition['reason']}: {condition['message']}"
    return "ready"


if __name__ == "__main__":
    main(prog_name="python -m e2e.demo")
