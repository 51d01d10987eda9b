"""What routers say of servers elsewhere becomes what is known of their ModelDeployments. The operator asks no such server.

A server at a URL that a user names is asked by that namespace's routers, from where that user's pods are and by the
network policies that hold there. What is told of it is one of three: it completes; it refused in OpenAI's form, with its
words; or no such API has answered, whatever was met instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from genset.addresses import shown_server
from genset.api.modeldeployment import ModelDeployment
from genset.api.routepolicy import RoutePolicy
from genset.contracts.router_admin import ConfigReport, ServerReport
from genset.desired.servers import elsewhere
from genset.engines import engine_of
from genset.status.conditions import clip
from genset.status.observed import CompletionProbe, template_key
from genset.status.outline import Outline
from genset.status.warnings import used_backends

Probes = dict[str, CompletionProbe | None]  # by name of the ModelDeployment; None: no router has asked yet


def probes(
    policy: RoutePolicy,
    deployments: Mapping[str, ModelDeployment],
    routers: Iterable[ConfigReport | None],
    config_hash: str,
) -> Probes:
    """Returns what a policy's routers know of each server elsewhere that its routes use.

    Only routers count that serve this configuration: others speak of what the server was before.
    """
    current = [ack for ack in routers if ack is not None and ack.hash == config_hash]
    found: Probes = {}
    routed = used_backends(policy)
    for backend in policy.spec.backends:
        server = elsewhere(backend, deployments) if backend.name in routed else None
        if server is not None and backend.deployment is not None:
            name = backend.deployment.name
            told = [report for ack in current for report in ack.servers if report.backend == backend.name]
            found[name] = together([_probe(server, report) for report in told]) or found.get(name)
    return found


def together(found: Iterable[CompletionProbe]) -> CompletionProbe | None:
    """Returns what several routers know, as one: all have to be answered, and `partly` tells that some are."""
    known = list(found)
    failed = [probe for probe in known if not probe.ok]
    if not failed or len(failed) == len(known):
        return known[0] if known else None
    first, partly = failed[0], f"{len(known) - len(failed)} of {len(known)} routers are answered"
    return CompletionProbe(False, f"{first.message}; {partly}", first.for_template, first.reached, partly=True)


def routed_by(deployment: str, policies: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Returns the names of the policies, as the API server has them, whose routers have reason to ask a deployment."""
    found = []
    for policy in policies:
        outline = Outline.of_refused(policy)
        routed = frozenset().union(*outline.routes.values())
        used = {backend.deployment for backend in outline.backends if backend.name in routed}
        if outline.wants_routers and deployment in used and not policy["metadata"].get("deletionTimestamp"):
            found.append(str(policy["metadata"]["name"]))
    return tuple(sorted(found))


def _probe(server: ModelDeployment, report: ServerReport) -> CompletionProbe:
    key = template_key(server, None)
    if report.answers:
        return CompletionProbe(True, "", key)
    if report.words:
        return CompletionProbe(False, f"the server answered {report.status}: {clip(report.words, 200)}", key)
    host = shown_server(engine_of(server).base_url(server))
    return CompletionProbe(False, f"no OpenAI-compatible server answered at {host}", key, reached=False)
