"""`genset operator` makes Options of flags and environment, then runs until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from genset import names
from genset.cli import values
from genset.listening import EVERY_ADDRESS

Verb = TypeVar("Verb", bound=Callable[..., Any])

_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _own_namespace() -> str:
    """Returns the namespace of the pod, for the default; outside a cluster the chart's."""
    try:
        return _SERVICE_ACCOUNT_NAMESPACE.read_text().strip() or "genset-system"
    except OSError:
        return "genset-system"


def _option(*declarations: str, **attributes: Any) -> Callable[[Verb], Verb]:
    """Makes an option whose environment variable is GENSET_ and its name."""
    name = declarations[0].split("/")[0].removeprefix("--")
    return click.option(
        *declarations,
        envvar=f"GENSET_{name.replace('-', '_').upper()}",
        show_envvar=True,
        show_default=True,
        **attributes,
    )


@click.command()
@_option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Kubeconfig file. Default: the pod's service account, else KUBECONFIG or ~/.kube/config.",
)
@_option("--context", help="Context of the kubeconfig. Default: its current one.")
@_option(
    "--namespace",
    "namespaces",
    multiple=True,
    callback=values.words,
    help="Only this namespace; repeat for more. Default: the whole cluster.",
)
@_option("--image", required=True, help="The project's own image: weights puller, and routers that name none.")
@_option(
    "--image-pull-policy",
    type=click.Choice(["Always", "IfNotPresent", "Never"]),
    default="IfNotPresent",
    help="Pull policy of the containers that genset makes.",
)
@_option(
    "--image-pull-secret",
    "image_pull_secrets",
    multiple=True,
    callback=values.words,
    help="Name of an image pull Secret in the resources' namespaces; repeat for more.",
)
@_option(
    "--engine-image",
    "engine_images",
    multiple=True,
    callback=values.engine_images,
    metavar="ENGINE/VENDOR=IMAGE",
    help="Image of an engine for cpu, nvidia, amd or intel, e.g. llama.cpp/cpu=IMAGE; repeat for more.",
)
@_option(
    "--operator-namespace",
    default=_own_namespace,
    help="Namespace of the operator: of its Lease, and the one that NetworkPolicies let its probes in from.",
)
@_option(
    "--allow-host-path/--no-allow-host-path", default=False, help="Allow source.hostPath, which reads the nodes' disks."
)
@_option(
    "--pod-template",
    type=click.Choice(["AllowList", "Full"]),
    default="AllowList",
    help="What podTemplates may say: where pods run and how large they are, or everything that a creator of pods may.",
)
@_option(
    "--allowed-image",
    "allowed_images",
    multiple=True,
    callback=values.words,
    metavar="PATTERN",
    help="Image that resources may name beside the operator's own and those of engines, * for any text; repeat for more.",
)
@_option(
    "--allowed-annotation",
    "allowed_annotations",
    multiple=True,
    callback=values.words,
    metavar="PATTERN",
    help="Key of metadataTemplate's annotations that Secrets and ServiceAccounts get, too, * for any text; repeat for more. "
    "Other controllers take an annotation there for an order: name keys that none of them obeys.",
)
@_option(
    "--max-scratch-size",
    default="100Gi",
    callback=values.quantity,
    metavar="QUANTITY",
    help="Most that a pod without cache downloads to its node's disk if its source has no maxSize.",
)
@_option(
    "--hugging-face-endpoint",
    default="",
    help="Mirror for huggingFace sources without an endpoint. Default: the public hub.",
)
@_option(
    "--hub-token-secret",
    default="",
    metavar="NAME/KEY",
    help="Secret in the operator's namespace with a token of the hub, for huggingFace sources without tokenSecretRef; its "
    "annotation genset.dev/allow-hosts names the hub.",
)
@_option("--site-http-proxy", default="", metavar="URL", help="Proxy for http:// URLs outside the cluster.")
@_option("--site-https-proxy", default="", metavar="URL", help="Proxy for https:// URLs outside the cluster.")
@_option(
    "--site-no-proxy",
    multiple=True,
    callback=values.words,
    metavar="HOST",
    help="Host, domain or network that is reached without the site's proxies, beside the cluster's own names; repeat for more.",
)
@_option(
    "--site-proxy-credentials-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with user:password for the site's proxies.",
)
@_option(
    "--site-ca-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with certificates (PEM) that pullers, routers and engines trust beside the usual ones.",
)
@_option(
    "--ledger-url",
    default="",
    metavar="URL",
    help="Ledger that all routers send their records to, e.g. http://genset-ledger.genset-system.svc:8090. Routers of releases "
    "that do not know it refuse such a configuration.",
)
@_option(
    "--ledger-secret",
    default="",
    metavar="NAME",
    help=f"Secret in the operator's namespace with the key ({names.LEDGER_SECRET_KEY}) of the ledger's tokens; made if it is not "
    "there.",
)
@_option(
    "--network-policies/--no-network-policies", default=True, help="Make a NetworkPolicy for each engine and router."
)
@_option(
    "--monitoring-namespace-label",
    "monitoring_namespace_labels",
    multiple=True,
    callback=values.pairs,
    metavar="KEY=VALUE",
    help="Label of the namespaces that may scrape metrics; repeat for more. Default: any namespace.",
)
@_option(
    "--dns-port",
    "dns_ports",
    multiple=True,
    type=click.IntRange(1, 65535),
    default=(53, 5353),
    help="Port of the cluster's DNS servers behind their Service, which routers may reach; repeat for more.",
)
@_option(
    "--dns-cidr",
    "dns_networks",
    multiple=True,
    callback=values.networks,
    metavar="ADDRESS/BITS",
    help="Network of DNS servers that are no pods: routers reach no other address at their ports; repeat for more. "
    "Default: every address.",
)
@_option(
    "--api-server-address",
    "api_server",
    multiple=True,
    callback=values.words,
    default=lambda: tuple(filter(None, (os.environ.get("KUBERNETES_SERVICE_HOST"),))),
    metavar="HOST",
    help="Name or address of the API server, which no router dials for a host that a resource names; repeat for more. "
    "Default: the address of its Service.",
)
@_option(
    "--forbidden-network",
    "forbidden_networks",
    multiple=True,
    callback=values.networks,
    metavar="ADDRESS/BITS",
    help="Further network that no router dials for a host that a resource names, beside loopback, link-local and the "
    "clouds' metadata services; repeat for more.",
)
@_option(
    "--allowed-licence",
    "allowed_licences",
    multiple=True,
    callback=values.words,
    metavar="NAME",
    help="Licence that a model may have, e.g. apache-2.0; unknown: one whose files name none. Repeat for more. Default: all.",
)
@_option(
    "--model-class-labels/--no-model-class-labels",
    "model_class_labels",
    default=False,
    help="Have routers label the metrics of each backend with the classes of its model (size_class, speed_class). Routers of "
    "releases that do not know it refuse such a configuration.",
)
@_option(
    "--data-zone",
    "data_zones",
    multiple=True,
    callback=values.zones,
    metavar="NAME",
    help="Data zone in which requests may be answered, e.g. house; repeat for more. Policies can narrow this, never widen it. "
    "Default: all.",
)
@_option(
    "--cluster-cidr",
    "cluster_cidrs",
    multiple=True,
    callback=values.networks,
    metavar="ADDRESS/BITS",
    help="Network of the cluster's own nodes, pods and Services, which clouds are never in; repeat for more.",
)
@_option(
    "--engine-listen",
    type=click.Choice([EVERY_ADDRESS, "0.0.0.0"]),
    default=EVERY_ADDRESS,
    help="Address that engines listen on: every one of IPv6 and IPv4, or of IPv4 for nodes whose kernel has no IPv6.",
)
@_option("--resync-seconds", type=click.FloatRange(min=1), default=300.0, help="Pause between two full resyncs.")
@_option(
    "--secrets-seconds",
    type=click.FloatRange(min=0.2),
    default=5.0,
    help="Pause between two looks at the Secrets that resources name.",
)
@_option(
    "--outages-seconds",
    type=click.FloatRange(min=0.2),
    default=5.0,
    help="Pause between two questions to each router for what it sees as down.",
)
@_option(
    "--upgrade-idle-seconds",
    type=click.FloatRange(min=1),
    default=600.0,
    help="Time without a request after which pods take what an upgrade of the operator changes of them (onUpgrade: WhenIdle).",
)
@_option("--workers", type=click.IntRange(1, 256), default=16, help="Resources reconciled at the same time.")
@_option(
    "--health-listen",
    "health",
    default=f"[::]:{names.OPERATOR_HEALTH_PORT}",
    callback=values.address,
    help="Address of /healthz and /readyz; [::] is every address of IPv6 and IPv4, 0 is none.",
)
@_option(
    "--metrics-listen",
    "metrics",
    default=f"[::]:{names.OPERATOR_METRICS_PORT}",
    callback=values.address,
    help="Address of /metrics; [::] is every address of IPv6 and IPv4, 0 is none.",
)
@_option(
    "--leader-election/--no-leader-election",
    default=True,
    help="Write only while holding the Lease. Needed as soon as there are two replicas.",
)
@_option("--lease-name", default=names.LEASE_NAME, help="Name of the Lease, in the operator's namespace.")
@_option(
    "--lease-seconds",
    type=click.FloatRange(min=3),
    default=15.0,
    help="How long a leader that vanished keeps the Lease.",
)
@_option(
    "--identity",
    default=lambda: os.environ.get("POD_NAME") or socket.gethostname(),
    help="Name of this replica in the Lease and in Events. Default: POD_NAME, else the host name.",
)
@_option(
    "--continuity-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings of the preset, as the chart writes them: a model for which there is room, and a RoutePolicy, are made once.",
)
@_option(
    "--continuity-namespace",
    default="",
    metavar="NAME",
    help="Namespace in which the preset's resources are made. Default: the operator's.",
)
@_option("--bundle-digest", default="", help="Digest of the bundle that the site was made from, for its metric.")
@_option(
    "--bundle-created",
    default="",
    callback=values.moment,
    metavar="TIME",
    help="When that bundle was made (RFC 3339). Default: the site was made from none.",
)
@_option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of log lines, on standard error."
)
@_option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    help="Least severe log lines that are written.",
)
def command(log_format: str, log_level: str, **flags: Any) -> None:
    """Reconcile ModelDeployments and RoutePolicies in a cluster."""
    from genset.cli.log_format import configure
    from genset.handlers import silence

    configure(log_format, log_level)
    silence()
    logging.captureWarnings(True)
    try:
        _run(flags)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    except Exception as error:
        from kubernetes.aio.config import ConfigException

        if isinstance(error, ConfigException):
            raise click.ClickException(f"{error} Name a file with --kubeconfig, or run in a pod.") from error
        raise


def _site(flags: dict[str, Any]) -> Any:
    """Takes what is said of the site out of the flags."""
    from genset.desired.site import SiteProxies
    from genset.kube.site import SiteOptions

    secret = flags.pop("hub_token_secret")
    name, slash, key = secret.partition("/")
    if secret and not (name and slash and key):
        raise click.UsageError("--hub-token-secret: write NAME/KEY of a Secret in the operator's namespace")
    preset, namespace = flags.pop("continuity_file"), flags.pop("continuity_namespace")
    return SiteOptions(
        SiteProxies(flags.pop("site_http_proxy"), flags.pop("site_https_proxy"), flags.pop("site_no_proxy")),
        flags.pop("site_proxy_credentials_file"),
        flags.pop("site_ca_file"),
        (name, key) if secret else None,
        flags.pop("ledger_url"),
        flags.pop("ledger_secret"),
        (preset, namespace or flags["operator_namespace"]) if preset else None,
    )


def _run(flags: dict[str, Any]) -> None:
    import uvloop

    from genset.desired.context import Settings
    from genset.kube.lease import OwnPod
    from genset.runtime import Operator, Options

    site = _site(flags)
    settings = Settings(**{name: flags.pop(name) for name in list(flags) if name in Settings.__dataclass_fields__})
    # Two processes of one name, e.g. a pod's container started again, are two candidates.
    flags["identity"] = f"{flags['identity']}_{uuid.uuid4().hex[:8]}"
    if problems := site.problems(settings.forbidden_networks):
        raise click.UsageError("; ".join(problems))
    name, uid = os.environ.get("POD_NAME"), os.environ.get("POD_UID")
    bundle, created = flags.pop("bundle_digest"), flags.pop("bundle_created")
    options = Options(settings=settings, site=site, pod=OwnPod(name, uid) if name and uid else None, **flags)

    async def main() -> None:
        operator = Operator(options)
        if created:
            operator.meters.bundle_created.labels(bundle).set(created)
        await operator.run(asyncio.Event())

    uvloop.run(main())
