"""What the site says reaches an engine's pods by two objects of the resource's own: pods mount nothing of other namespaces.

A ConfigMap has the certificates, a Secret the variables of the puller: proxies, with their password, and the hub's token.
Neither's content stands in the pod template: when the administrator changes it, no pod is replaced, and a download that
fails meets the new values at its next attempt.

The hub's token is somebody else's right. It is given only where it can reach nobody but the site's hub, and carries the name
of that hub, which the puller compares.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from genset import kinds, names
from genset.addresses import server_of, shown_server
from genset.api.modeldeployment import ModelDeployment
from genset.api.sources.hugging_face import HuggingFaceSource
from genset.contracts.puller import SITE_FOLDER, SITE_TOKEN_VARIABLE, site_token
from genset.contracts.sources import PUBLIC_HUB
from genset.desired import metadata
from genset.desired.context import ModelDeploymentContext, Settings
from genset.desired.servers import site_proxy
from genset.desired.weights import weights
from genset.engines.base import Object

VOLUME = "site"
CA_KEY = "ca.crt"
#: Variables by which a user could put himself between the puller and the hub.
_IN_BETWEEN = ("_PROXY", "SSL_CERT_", "CA_BUNDLE")


def config_map(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the ConfigMap of the site's certificates; None if it has none."""
    ca = context.settings.place.site.ca
    if not ca:
        return None
    name = metadata.site(resource.metadata.name)
    return metadata.engine_child(resource, kinds.CONFIG_MAP, name, data={CA_KEY: ca})


def secret(resource: ModelDeployment, context: ModelDeploymentContext) -> Object | None:
    """Makes the Secret of the puller's variables; None if there are none.

    One that the pods still read is emptied, because no Secret is ever deleted.
    """
    found = variables(resource, context.settings)
    if not found and not _is_read(context.running):
        return None
    data = {name: base64.b64encode(value.encode()).decode() for name, value in sorted(found.items())}
    name = metadata.site(resource.metadata.name)
    made = metadata.engine_child(resource, kinds.SECRET, name, type="Opaque", **({"data": data} if data else {}))
    return metadata.allowed(made, resource.spec.metadata_template, context.settings.allowed_annotations)


def variables(resource: ModelDeployment, settings: Settings) -> dict[str, str]:
    """Returns the variables of the puller: nothing if it downloads nothing."""
    addresses = weights(resource, settings, ahead=True).addresses
    if not addresses:
        return {}
    site, found = settings.place.site, {}
    if site.proxies:
        # A Service of two parts, or one without a dot, is told from a host by the operator alone.
        near = [server_of(url).host for url in addresses if not site_proxy(url, settings)]
        proxies = site.proxies
        found = {
            "HTTP_PROXY": proxies.with_credentials(proxies.http),
            "HTTPS_PROXY": proxies.with_credentials(proxies.https),
            "NO_PROXY": ",".join(site.no_proxy((*settings.cluster_cidrs, *settings.api_server, *near))),
        }
    if site.hub_token is not None and any(
        not why_no_token(ask, resource, settings) for ask in _asks(resource, settings)
    ):
        found[SITE_TOKEN_VARIABLE] = site_token(_hub(settings), site.hub_token.value)
    return {name: value for name, value in found.items() if value}


def token_not_used(resource: ModelDeployment, settings: Settings) -> str:
    """Says why the site's token is not used for a download, if there is one and the download could use it; else ""."""
    if settings.place.site.hub_token is None:
        return ""
    reasons = (why_no_token(ask, resource, settings) for ask in _asks(resource, settings))
    return next(filter(None, reasons), "")


def _hub(settings: Settings) -> str:
    return settings.hugging_face_endpoint or PUBLIC_HUB


def _asks(resource: ModelDeployment, settings: Settings) -> list[HuggingFaceSource]:
    """Returns the sources that ask the site's hub, and say nothing of a token themselves."""
    blocks = (part.source.block for part in resource.spec.parts)
    hub = server_of(_hub(settings))
    return [
        block
        for block in blocks
        if isinstance(block, HuggingFaceSource)
        and block.token_secret_ref is None
        and server_of(block.endpoint or _hub(settings)) == hub
    ]


def why_no_token(source: HuggingFaceSource, resource: ModelDeployment, settings: Settings) -> str:
    """Says why the puller does not get the site's token for a source that asks the site's hub; "" if it does."""
    token, url = settings.place.site.hub_token, source.endpoint or _hub(settings)
    if token is None:
        return "there is none"
    where, administrator = f"Secret {token.name} of the operator's namespace", "tell the operator's administrator"
    if token.secret is None:
        return f"{where} is not there: {administrator}"
    if not token.value:
        return f"{where} has no key {token.key}, or no token in it: {administrator}"
    if token.secret.why_not(url, settings.operator_namespace, token.name):
        return f"{where} does not let it go to {shown_server(url)} ({names.ANNOTATION_ALLOW_HOSTS}): {administrator}"
    if not url.startswith("https://"):
        return f"{shown_server(url)} is asked over plain HTTP, where everybody on the way can read it: {administrator}"
    own = "name a token of your own in tokenSecretRef"
    if source.ca_secret_ref is not None:
        return f"caSecretRef of {source.repo} could have another server take the hub's place: {own}"
    if name := _in_between(resource):
        return f"podTemplate sets {name}, which could have another server take the hub's place: {own}"
    return ""


def environment(resource: ModelDeployment, settings: Settings) -> list[Object]:
    """Returns `envFrom` of the puller. It may be missing: the operator makes it before the pods, and may empty it."""
    if not variables(resource, settings):
        return []
    return [{"secretRef": {"name": metadata.site(resource.metadata.name), "optional": True}}]


def volumes(resource: ModelDeployment, settings: Settings) -> list[Object]:
    """Returns the volume of the site's certificates."""
    if not settings.place.site.ca:
        return []
    return [{"name": VOLUME, "configMap": {"name": metadata.site(resource.metadata.name)}}]


def mounts(settings: Settings) -> list[Object]:
    """Returns where containers have them."""
    return [{"name": VOLUME, "mountPath": SITE_FOLDER, "readOnly": True}] if settings.place.site.ca else []


def _in_between(resource: ModelDeployment) -> str:
    template = resource.spec.pod_template
    containers = template.spec.get("initContainers") if template is not None else None
    for container in containers if isinstance(containers, list) else ():
        for variable in (container.get("env") if isinstance(container, Mapping) else None) or ():
            name = str(variable.get("name")) if isinstance(variable, Mapping) else ""
            if any(part in name.upper() for part in _IN_BETWEEN):
                return name
    return ""


def _is_read(running: Object | None) -> bool:
    """Returns whether the Deployment's pods were made to read the Secret."""
    pod = running["spec"]["template"]["spec"] if running is not None else {}
    return any(container.get("envFrom") for container in pod.get("initContainers") or ())
