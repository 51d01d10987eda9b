"""An admission webhook that really changes what the API server stores, as policy engines and meshes do, the same each time."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from genset.kinds import DEPLOYMENT, Kind
from genset.kube.client import ApiServer
from testbed.cluster.pki import Authority

Patch = list[dict[str, Any]]
_CONFIGURATIONS = Kind(
    "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations"
)


@contextlib.asynccontextmanager
async def mutating(
    api: ApiServer,
    namespace: str,
    folder: Path,
    patch: Patch | Callable[[dict[str, Any]], Patch],
    kind: Kind = DEPLOYMENT,
) -> AsyncIterator[None]:
    """Has each object of a kind that is created or changed in the namespace patched (RFC 6902) by a server of this process.

    `patch` may be made for each object.
    """
    authority = Authority(folder, dt.datetime.now(dt.UTC))
    pair = authority.issue("webhook", "webhook", hosts=("127.0.0.1",))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)

    async def review(request: web.Request) -> web.Response:
        asked = (await request.json())["request"]
        wanted = patch(asked["object"]) if callable(patch) else patch
        text = base64.b64encode(json.dumps(wanted).encode()).decode()
        answer = {"uid": asked["uid"], "allowed": True, "patchType": "JSONPatch", "patch": text}
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer})

    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/", review)
    runner = web.AppRunner(app)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        site = web.SockSite(runner, listener, ssl_context=tls)
        await site.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/"
        await api.request(
            "POST", _CONFIGURATIONS.path(), body=_configuration(namespace, url, authority.ca.certificate, kind)
        )
        try:
            yield
        finally:
            await api.request("DELETE", f"{_CONFIGURATIONS.path()}/{namespace}")
            await runner.cleanup()


def _configuration(namespace: str, url: str, authority: Path, kind: Kind) -> dict[str, Any]:
    bundle = base64.b64encode(authority.read_bytes()).decode()
    operations = ["CREATE", "UPDATE"]
    rule = {"apiGroups": [kind.group], "apiVersions": ["v1"], "resources": [kind.plural], "operations": operations}
    return {
        "apiVersion": _CONFIGURATIONS.api_version,
        "kind": _CONFIGURATIONS.kind,
        "metadata": {"name": namespace},
        "webhooks": [
            {
                "name": "change.genset.example",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "clientConfig": {"url": url, "caBundle": bundle},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [rule],
            }
        ],
    }
