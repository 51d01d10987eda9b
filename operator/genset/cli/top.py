"""`genset top` shows what routers do now: answers, tokens, first tokens, failures, by backend."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click

_MISSING = "routers are asked through the cluster: install kubectl"
_AT_ONCE = 8  # routers that are asked at the same time


@click.command()
@click.option("-n", "--namespace", help="Only this namespace. Default: all of them.")
@click.option("--policy", help="Only this RoutePolicy.")
@click.option("--context", "kube_context", help="Context of the kubeconfig. Default: its current one.")
@click.option(
    "--interval", default=2.0, show_default=True, type=click.FloatRange(0.5, 600), help="Seconds between two looks."
)
@click.option("--once", is_flag=True, help="Show one interval, and end. So it is, too, when the output is no terminal.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(
    namespace: str | None, policy: str | None, kube_context: str | None, interval: float, once: bool, output: str
) -> None:
    """Show what routers do now, by backend, until Ctrl-C: their metrics, read with your rights through the API server.

    \b
    Examples:
      genset top
      genset top -n law --policy assistant
      genset top --once --interval 10 -o json
    """
    import sys

    from genset import load_now
    from genset.kubectl import KubectlError

    once = once or output == "json" or not sys.stdout.isatty()
    try:
        earlier = _read(kube_context, namespace, policy)
        while True:
            time.sleep(interval)
            later = _read(kube_context, namespace, policy)
            loads = load_now.between(earlier, later)
            if not once:
                click.clear()
                click.echo(time.strftime("%H:%M:%S") + f", the last {interval:g} s; Ctrl-C ends it\n")
            click.echo(load_now.as_json(loads) if output == "json" else load_now.screen(loads))
            if once:
                return
            earlier = later
    except KubectlError as problem:
        raise click.ClickException(str(problem)) from problem
    except KeyboardInterrupt:
        return


def _read(context: str | None, namespace: str | None, policy: str | None) -> list[Any]:
    """Reads all routers once. One that cannot be read is named, and left out. Raises KubectlError."""
    from genset import load_now, names
    from genset.kubectl import KubectlError, kubectl
    from genset.router_pods import is_running, router_pods

    running = filter(is_running, router_pods(namespace, policy, missing=_MISSING, context=context))

    def read(pod: dict[str, Any]) -> load_now.MetricsReading | None:
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}:{names.ROUTER_ADMIN_PORT}/proxy/metrics"
        what = f"metrics of {meta['namespace']}/{meta['name']}"
        try:
            text = kubectl("get", "--raw", path, missing=_MISSING, what=what, context=context)
            owner = meta["labels"][names.LABEL_ROUTE_POLICY]
            return load_now.read(meta["namespace"], owner, meta["name"], time.monotonic(), text.decode())
        except (KubectlError, ValueError) as problem:
            click.echo(f"{what} cannot be read: {problem}", err=True)
            return None

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return [one for one in threads.map(read, running) if one is not None]
