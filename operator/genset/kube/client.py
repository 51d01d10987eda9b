"""ApiServer is one connection to the API server: plain dicts go in, plain dicts come out.

Everything that crosses the wire goes through `ApiServer.request`, so that time limits, retries, the cap on parallel requests
and the fence of leader election hold everywhere. Configuration and credentials (kubeconfig, service account, exec
plugins, token rotation) and TLS come from `kubernetes.aio`; its generated models and its discovery are not used.

    ApiError                 the API server said no, or nothing
      .not_found .conflict .already_exists .field_conflict .namespace_terminating .unreachable .misfit
    LeadershipLost           a write was refused here, because another operator may be leading
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import ApiClient, Configuration

import genset
from genset.kinds import Kind
from genset.kube.metrics import Metrics

Object = dict[str, Any]
Objects = list[Object]

ATTEMPTS = 5  # of one request, with backoff 0.1 s x 2^n: about 3 s in all; the work queue carries on from there
FIRST_BACKOFF = 0.1  # seconds
LONGEST_BACKOFF = 5.0  # seconds; also the longest Retry-After that is waited for in place
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=5)
WATCH_SECONDS = 240  # after which the API server ends a watch, and another one begins
WATCH_TIMEOUT = aiohttp.ClientTimeout(
    total=WATCH_SECONDS + 30, sock_connect=5, sock_read=90
)  # bookmarks come each minute
IN_FLIGHT = 32  # requests at once: enough for hundreds of objects a second, few enough for a small API server
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class ApiError(Exception):
    """An ApiError is a request that failed for good, with the API server's own words."""

    def __init__(self, status: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status  # HTTP status; 0: no answer
        self.reason = reason  # metav1.StatusReason
        self.message = message
        self.causes: tuple[Mapping[str, Any], ...] = tuple((details or {}).get("causes") or ())

    def _caused_by(self, reason: str) -> bool:
        return any(cause.get("reason") == reason for cause in self.causes)

    @property
    def unreachable(self) -> bool:
        return self.status == 0

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        return self.status == 409

    @property
    def already_exists(self) -> bool:
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def field_conflict(self) -> bool:
        """A server-side apply without force has met fields of another owner."""
        return self.status == 409 and self._caused_by("FieldManagerConflict")

    @property
    def namespace_terminating(self) -> bool:
        """Creation was refused because the namespace is being deleted."""
        return self.status == 403 and self._caused_by("NamespaceTerminating")

    @property
    def namespace_not_managed(self) -> bool:
        """The admission policy of the chart keeps the operator from writing in a namespace without its label."""
        return self.status == 403 and "genset.dev/managed" in self.message

    @property
    def misfit(self) -> bool:
        """The content does not fit the kind's schema: a field that is not in it, or a value of another type.

        A server-side apply answers that with 500 (apimachinery, managedfields/internal/structuredmerge.go).
        """
        return self.status == 500 and self.message.startswith(_MISFITS)

    @property
    def transient(self) -> bool:
        """The same content is worth another attempt later."""
        if self.misfit:
            return False
        return self.unreachable or self.status in RETRIED or (self.conflict and not self.already_exists)


#: How the API server begins to say that an object does not fit its schema, or a value its type.
_MISFITS = ("failed to create typed patch object", "failed to convert new object")


class LeadershipLost(Exception):
    """This process may no longer write: the Lease is not surely its own."""


async def load_configuration(kubeconfig: Path | None, context: str | None) -> Configuration:
    """Reads the file that is named, else the pod's service account, else KUBECONFIG or ~/.kube/config."""
    configuration = Configuration()
    if kubeconfig is None and context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        kubernetes_config.load_incluster_config(configuration)
    else:
        path = str(kubeconfig.expanduser()) if kubeconfig else None
        await kubernetes_config.load_kube_config(path, context=context, client_configuration=configuration)
    configuration.connection_pool_maxsize = IN_FLIGHT * 2  # the lease and the probes of health never wait for the rest
    configuration.retries = None  # retries are ours
    configuration.disable_strict_ssl_verification = True  # see genset.tls
    configuration.client_session_kwargs = {"trust_env": uses_proxy()}
    return configuration


def uses_proxy(environ: Mapping[str, str] = os.environ) -> bool:
    """Returns whether the environment names a proxy.

    If not, aiohttp must not look: it would search for a proxy and for ~/.netrc in a thread at each request, and could
    send what it finds there to the API server.
    """
    return any(environ.get(name) or environ.get(name.lower()) for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"))


class ApiServer:
    """An ApiServer sends requests to one API server. Tasks of one event loop may share it; `close` it in the end."""

    def __init__(
        self,
        configuration: Configuration,
        metrics: Metrics,
        *,
        rng: random.Random | None = None,
        attempts: int = ATTEMPTS,
        user_agent: str = f"genset-operator/{genset.__version__}",
    ) -> None:
        self._client = ApiClient(configuration)
        self._client.user_agent = user_agent
        self.configuration = configuration
        self._metrics = metrics
        self._rng = rng or random.Random()
        self._attempts = attempts
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._may_write: Callable[[], bool] = lambda: True

    def fence(self, may_write: Callable[[], bool]) -> None:
        """Sets the fence: from now on nothing is written unless `may_write` says, before each attempt, that this
        operator leads."""
        self._may_write = may_write

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.close()

    # -- verbs --------------------------------------------------------------------------------------------------------

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Returns the object, or None if there is none."""
        return await self._get(kind, namespace, name, "application/json")

    async def get_metadata(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Returns only the object's metadata: content, such as a Secret's data, stays on the server."""
        return await self._get(kind, namespace, name, METADATA_ONLY)

    async def _get(self, kind: Kind, namespace: str, name: str, accept: str) -> Object | None:
        try:
            return await self.request("GET", kind.path(namespace, name), headers={"Accept": accept})
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def list(
        self, kind: Kind, namespace: str | None, selector: str = "", *, fields: str = "", metadata_only: bool = False
    ) -> list[Object]:
        """Returns all objects of the kind, in one namespace or in all, that a label selector and a field selector match.

        It is read page by page.
        """
        return (await self.listed(kind, namespace, selector, fields=fields, metadata_only=metadata_only))[0]

    async def listed(
        self, kind: Kind, namespace: str | None, selector: str = "", *, fields: str = "", metadata_only: bool = False
    ) -> tuple[Objects, str]:
        """Returns what `list` does, and the resourceVersion from which a watch goes on."""
        items: list[Object] = []
        query = {"limit": "500"}
        headers = {"Accept": METADATA_LIST} if metadata_only else None
        if selector:
            query["labelSelector"] = selector
        if fields:
            query["fieldSelector"] = fields
        while True:
            page = await self.request("GET", kind.path(namespace), query=query, headers=headers)
            for item in page.get("items") or ():
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.kind)
                items.append(item)
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion") or "")
            query["continue"] = metadata["continue"]

    async def watch(
        self, kind: Kind, namespace: str | None, since: str, selector: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        """Yields (type, object) of each change from a resourceVersion on, until the API server ends the watch, after minutes.

        Raises ApiError: 410 asks for another list.
        """
        query = {"watch": "true", "resourceVersion": since, "allowWatchBookmarks": "true"}
        query["timeoutSeconds"] = str(WATCH_SECONDS)
        if selector:
            query["labelSelector"] = selector
        path = kind.path(namespace)
        sent = {**self._client.default_headers, "Accept": "application/json"}
        try:
            await self._client.update_params_for_auth(sent, [], ["BearerToken"], path, "GET", None)
            url = f"{self.configuration.host}{path}?{urlencode(query)}"
            answer = await self._client.call_api("GET", url, sent, _request_timeout=WATCH_TIMEOUT)
            if answer.status != 200:
                raise _error(answer.status, await answer.read())
            async for told in _lines(answer.response):
                event = orjson.loads(told)
                if event["type"] == "ERROR":
                    raise _error(int(event["object"].get("code") or 0), orjson.dumps(event["object"]))
                yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as failure:
            words = f"no answer from the API server at {self.configuration.host}: {failure or type(failure).__name__}"
            raise ApiError(0, "Unreachable", words) from failure

    async def apply(
        self, kind: Kind, body: Object, *, field_manager: str, force: bool, subresource: str | None = None
    ) -> Object:
        """Applies the object on the server's side, at its own name."""
        metadata = body["metadata"]
        query = {"fieldManager": field_manager, "force": "true" if force else "false"}
        return await self.request(
            "PATCH",
            kind.path(metadata["namespace"], metadata["name"], subresource),
            query=query,
            body=body,
            headers={"Content-Type": "application/apply-patch+yaml"},
        )

    async def merge_patch(self, kind: Kind, namespace: str, name: str, body: Object, *, field_manager: str) -> Object:
        """Changes a few fields by a JSON merge patch."""
        return await self.request(
            "PATCH",
            kind.path(namespace, name),
            query={"fieldManager": field_manager},
            body=body,
            headers={"Content-Type": "application/merge-patch+json"},
        )

    async def create(self, kind: Kind, body: Object) -> Object:
        """Creates the object by a POST into its collection."""
        return await self.request("POST", kind.path(body["metadata"]["namespace"]), body=body)

    async def delete(self, kind: Kind, live: Object) -> None:
        """Deletes exactly the object that was read: uid and resourceVersion must still hold.

        One that is gone already is fine.
        """
        metadata = live["metadata"]
        body: Object = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
        }
        try:
            await self.request("DELETE", kind.path(metadata["namespace"], metadata["name"]), body=body)
        except ApiError as error:
            if not error.not_found:
                raise

    # -- the wire -----------------------------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        headers: Mapping[str, str] | None = None,
        attempts: int | None = None,
        timeout: aiohttp.ClientTimeout = REQUEST_TIMEOUT,
    ) -> Object:
        """Sends one request, with retries.

        Raises ApiError if it has failed for good, LeadershipLost for writes behind the fence.
        """
        last = attempts or self._attempts
        attempt = 0
        while True:
            attempt += 1
            if method in WRITES and not self._may_write():
                raise LeadershipLost(f"{method} {path} not sent: the Lease is not held")
            error, retry_after = await self._attempt(method, path, query, body, headers, timeout)
            if not isinstance(error, ApiError):
                return error
            if attempt >= last or not self._again(method, error) or retry_after > LONGEST_BACKOFF:
                raise error
            backoff: float = min(FIRST_BACKOFF * 2 ** (attempt - 1), LONGEST_BACKOFF) * self._rng.uniform(0.5, 1.5)
            await asyncio.sleep(max(backoff, retry_after))

    @staticmethod
    def _again(method: str, error: ApiError) -> bool:
        if (
            error.conflict
        ):  # a concurrent write of the same object; a PUT carries its resourceVersion and never recovers
            return method == "PATCH" and not error.field_conflict and "uid" not in error.message.lower()
        return error.transient

    async def _attempt(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Object | None,
        headers: Mapping[str, str] | None,
        timeout: aiohttp.ClientTimeout,
    ) -> tuple[Object | ApiError, float]:
        """Returns the answer, or the error with the seconds that the server asked to wait."""
        sent = {**self._client.default_headers, "Accept": "application/json", **(headers or {})}
        url = self.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        status = 0
        try:
            async with self._slots:
                await self._client.update_params_for_auth(sent, [], ["BearerToken"], path, method, body)
                answer = await self._client.call_api(method, url, sent, body=body, _request_timeout=timeout)
                content = await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            message = f"no answer from the API server at {self.configuration.host}: {failure or type(failure).__name__}"
            return ApiError(0, "Unreachable", message), 0.0
        finally:
            self._metrics.api_requests.labels(method=method, code=str(status)).inc()
        if 200 <= status < 300:
            return (orjson.loads(content) if content else {}), 0.0
        return _error(status, content), _seconds(answer.headers.get("Retry-After"))


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yields the lines of a watch, however long they are; the connection ends with whoever leaves."""
    held = b""
    async with response:
        async for piece in response.content.iter_any():
            *whole, held = (held + piece).split(b"\n")
            for one in whole:
                if one:
                    yield one


def _error(status: int, content: bytes) -> ApiError:
    try:
        parsed = orjson.loads(content)
        return ApiError(status, parsed.get("reason") or "", parsed.get("message") or "", parsed.get("details"))
    except (orjson.JSONDecodeError, AttributeError):
        return ApiError(status, "", content[:500].decode(errors="replace") or f"HTTP {status}")


def _seconds(retry_after: str | None) -> float:
    """Reads Retry-After in its number form; API servers use no dates."""
    try:
        return max(0.0, float(retry_after or 0))
    except ValueError:
        return 0.0
