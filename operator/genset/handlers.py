"""Every Kopf handler stands here; its body only hands the event to the inbox.

Kopf does the watching (reconnects, 410 re-lists, dead streams, re-login) and nothing else: `on.event` handlers write
nothing to the objects, whereas its create, update, timer and daemon handlers would patch each of them. Exceptions in
these handlers are logged and dropped by Kopf, and some deletions are never reported, so nothing may depend on them: the
work queue owns retries and the resync owns the truth.
"""

from __future__ import annotations

import logging
import math
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import kopf
from kubernetes.aio.client import Configuration

from genset import kinds, names
from genset.controllers.inbox import Inbox
from genset.desired import CHILD_KINDS
from genset.kinds import Kind
from genset.kube.client import uses_proxy
from genset.tls import known_as, lenient

OUTAGE_SECONDS = 60.0  # without a failed attempt of a watch: the next one is of another outage

RESOURCES = (kinds.MODEL_DEPLOYMENT, kinds.ROUTE_POLICY)

#: Children whose changes are noticed at once. Secrets are missing: the operator has no right to list them, see
#: `controllers.secrets`.
CHILDREN = (*(kind for kind in CHILD_KINDS if kind.listed and not kind.optional), kinds.POD)

_OWN = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


class _NoDiffBase(kopf.DiffBaseStorage):  # type: ignore[misc]
    """This storage keeps no last-seen state of objects.

    Kopf would compute one for each event (a third of the operator's work in a burst) for handlers that we do not have.
    """

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):  # type: ignore[misc]
    """This storage keeps no progress of handlers: there is nothing that could be written to an object."""

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: Any) -> Any:
        return essence


def registry(inbox: Inbox, configuration: Configuration) -> kopf.OperatorRegistry:
    """Returns the handlers of one operator.

    The registry is of its own, so that several operators may live in one process.
    """
    handlers = kopf.OperatorRegistry()
    for kind in RESOURCES:
        _watch_resource(handlers, inbox, kind)
    for kind in CHILDREN:
        _watch_child(handlers, inbox, kind)

    @kopf.on.login(id="login", registry=handlers)  # type: ignore[untyped-decorator]
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await connection_info(configuration)

    return handlers


def _watch_resource(handlers: kopf.OperatorRegistry, inbox: Inbox, kind: Kind) -> None:
    @kopf.on.event(*_selector(kind), id=f"watch-{kind.plural}", registry=handlers)  # type: ignore[untyped-decorator]
    async def on_resource(event: Mapping[str, Any], **_: Any) -> None:
        inbox.resource(kind.kind, event["type"], event["object"])


def _watch_child(handlers: kopf.OperatorRegistry, inbox: Inbox, kind: Kind) -> None:
    @kopf.on.event(*_selector(kind), id=f"watch-{kind.plural}", registry=handlers)  # type: ignore[untyped-decorator]
    async def on_child(event: Mapping[str, Any], **_: Any) -> None:
        inbox.child(kind.kind, event["type"], event["object"])


def settings() -> kopf.OperatorSettings:
    """Makes Kopf a watcher: no Events, no peering, nothing persisted, no scanning of namespaces and CRDs."""
    result = kopf.OperatorSettings()
    result.posting.enabled = False
    result.peering.standalone = True
    result.process.ultimate_exiting_timeout = None  # we end the process ourselves
    result.scanning.disabled = True  # no right to list namespaces or CRDs is needed
    result.persistence.finalizer = f"operator.{names.GROUP}/unused"
    result.persistence.progress_storage = _NoProgress()
    result.persistence.diffbase_storage = _NoDiffBase()
    result.watching.server_timeout = 600  # seconds; the server ends each watch, and Kopf resumes it
    result.watching.connect_timeout = 10
    result.networking.request_timeout = 60
    result.networking.connect_timeout = 10
    result.networking.error_backoffs = (0.2, 0.5, 1, 2, 3, 5, 5, 5)
    result.networking.trust_env = uses_proxy()
    result.queueing.idle_timeout = 1.0  # seconds; a burst's per-object tasks go soon
    result.queueing.exit_timeout = 0.5
    for kind in CHILDREN:
        result.watching.label_selectors[_selector(kind)] = _OWN
    return result


@dataclass(frozen=True, kw_only=True)
class _Connection(kopf.ConnectionInfo):  # type: ignore[misc]
    """This is Kopf's connection, which reads certificates as our own client does."""

    tls_server_name: str | None = None  # of the certificate, if it is not the host's name

    def as_ssl_context(self) -> ssl.SSLContext:
        context = lenient(super().as_ssl_context())
        return known_as(context, self.tls_server_name) if self.tls_server_name else context


async def connection_info(configuration: Configuration) -> kopf.ConnectionInfo:
    """Logs Kopf in with the very credentials of our own client; asked again whenever the API server says 401."""
    header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    scheme, _, token = (header or "").partition(" ")
    return _Connection(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        ca_data=None if configuration.ssl_ca_cert else configuration.ca_cert_data,
        insecure=not configuration.verify_ssl,
        username=configuration.username or None,
        password=configuration.password or None,
        scheme=scheme.capitalize() if token else None,
        token=token or (header or None),
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        tls_server_name=configuration.tls_server_name or None,
        proxy_url=configuration.proxy,
        trust_env=uses_proxy(),
    )


class OneLine(logging.Filter):
    """This filter makes one warning of an outage of the API server: Kopf logs an error at each attempt of each of its
    watches."""

    def __init__(self) -> None:
        super().__init__()
        self._last = -math.inf  # seconds since 1970, of the last failed attempt

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if not message.startswith("Request attempt "):
            return True
        began = record.created - self._last > OUTAGE_SECONDS
        self._last = record.created
        if began:
            kind = message.rpartition(" -> ")[2].partition("(")[0]  # the rest repeats address and TLS settings
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
            record.msg, record.args = "Lost the watches on the API server and went on trying: %s", (kind,)
        return began


class NoFailedTasks(logging.Filter):
    """This filter drops the traceback of each of Kopf's tasks that a refused watch ends: the session says why it ends."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and " has failed: " in record.getMessage())


def silence() -> None:
    """Quiets Kopf, which logs a line for each event and each attempt: its warnings are kept, and one line of an outage."""
    for name in ("kopf", "kopf.objects"):
        logging.getLogger(name).setLevel(logging.WARNING)
    tasks = "kopf._cogs.aiokits", "kopf._core"
    for name in [name for name in logging.Logger.manager.loggerDict if name.startswith(tasks)]:
        logger = logging.getLogger(name)  # filters of a parent do not see its children's lines
        if not any(isinstance(known, NoFailedTasks) for known in logger.filters):
            logger.addFilter(NoFailedTasks())
    watching = logging.getLogger("kopf._cogs.clients.watching")
    if not any(isinstance(known, OneLine) for known in watching.filters):
        watching.addFilter(OneLine())


def _selector(kind: Kind) -> tuple[str, str, str]:
    return kind.group, kind.api_version.rpartition("/")[2], kind.plural
