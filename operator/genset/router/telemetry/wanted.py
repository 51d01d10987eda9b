"""Traces are optional: this module decides whether they are wanted, and only then loads the code that makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Final, Protocol
from urllib.parse import quote

from genset.contracts.router_config import PolicyRef, RouterConfig, TelemetryConfig
from genset.off_limits import OffLimits
from genset.router.backends.credentials import Credentials, MissingCredential
from genset.router.backends.mask import Mask
from genset.router.errors import ConfigRejected
from genset.router.exchange.record import Record

SPOKEN = "http/protobuf"
EXPORT_SECONDS: Final = 5.0  # for one batch, which is lost after that
WAITING_SPANS: Final = 2048  # ended and not yet sent; later ones are lost, to bound memory
CLOSE_SECONDS: Final = 4.0  # for what is left when the router stops
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


@dataclass(frozen=True, slots=True)
class TraceBounds:
    """The bounds are for spans that a collector does not take: seconds for a batch and for the end, spans that wait."""

    export: float = EXPORT_SECONDS
    close: float = CLOSE_SECONDS
    waiting: int = WAITING_SPANS


DEFAULT: Final = TraceBounds()


def by_environment(environment: Mapping[str, str]) -> bool:
    """Returns whether the standard variables ask for traces: an endpoint is named, and nothing switches them off.

    Source: OpenTelemetry specification, Environment Variable Specification and OTLP Exporter Configuration.
    """
    named = any(environment.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_"))
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return named and not disabled and environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "otlp"


def settings_of(config: RouterConfig, environment: Mapping[str, str]) -> tuple[bool, TelemetryConfig | None]:
    """Returns whether traces are wanted, and the policy's settings, which count before the environment's.

    Raises ConfigRejected if the environment asks for another protocol than SPOKEN.
    """
    if config.telemetry is not None:
        return True, config.telemetry
    wanted = by_environment(environment)
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), SPOKEN)
    if wanted and protocol != SPOKEN:
        raise ConfigRejected(
            f"OTEL_EXPORTER_OTLP_PROTOCOL: {protocol} is not supported; set {SPOKEN}, whose port is usually 4318"
        )
    return wanted, None


def load() -> ModuleType:
    """Imports the module `tracing`. Raises ConfigRejected without the extra `otel`."""
    try:
        from genset.router.telemetry import tracing
    except ImportError as problem:
        raise ConfigRejected(
            f"traces are wanted, but {problem.name or 'the OpenTelemetry SDK'} is not installed: pip install 'genset[otel]', "
            "or take telemetry (or OTEL_EXPORTER_OTLP_ENDPOINT) away"
        ) from problem
    return tracing


@dataclass(frozen=True, slots=True)
class Way:
    """The way is how spans get to a policy's collector: what may not be dialled, through which proxy (a URL with its password),
    which certificates (PEM) are trusted beside the system's. An administrator gives all three."""

    off_limits: OffLimits | None = None
    proxy: str = ""
    ca: bytes = b""

    @classmethod
    def of(cls, settings: TelemetryConfig, off_limits: OffLimits | None, credentials: Credentials | None) -> Way:
        """Raises MissingCredential."""
        proxy = settings.proxy_url or ""
        if proxy and credentials is not None and (user := credentials.proxy_user(settings.proxy_credentials_file)):
            name, _, password = user.decode("utf-8", "replace").partition(":")
            proxy = proxy.replace("://", f"://{quote(name, safe='')}:{quote(password, safe='')}@", 1)
        return cls(off_limits, proxy, (credentials.site_ca if credentials is not None else None) or b"")


DIRECT: Final = Way()


class Tracer(Protocol):
    """A tracer makes the spans of requests: it is `tracing.Tracing`, which cannot be imported without the extra."""

    def begin(self, record: Record, mask: Mask) -> None:
        """Gives the record of a request that has arrived a span, if it is sampled."""

    def retire(self) -> None:
        """Sends what is left in its own time; nothing new comes."""

    def close(self) -> None:
        """Sends what is left, now."""


class Traces:
    """These are the traces of one router, as its configuration wants them. `tracing` is None if it wants none.

    `counts` of spans outlive configurations; `wall` is the time of day in seconds.
    """

    def __init__(
        self,
        counts: dict[str, int],
        environment: Mapping[str, str],
        wall: Callable[[], float],
        bounds: TraceBounds = DEFAULT,
    ) -> None:
        self.tracing: Tracer | None = None
        self._counts = counts
        self._environment = environment
        self._wall = wall
        self._bounds = bounds
        self._made_of: tuple[object, ...] = (False,)

    async def take(
        self, config: RouterConfig, off_limits: OffLimits | None = None, credentials: Credentials | None = None
    ) -> None:
        """Takes a configuration; a collector that it names may not be `off_limits`, and is reached with the site's
        `credentials`.

        Raises ConfigRejected if its traces cannot be made; those in force then stay.
        """
        policy = config.policy.model_copy(update={"generation": 0})
        on, settings = settings_of(config, self._environment)
        if settings is not None:
            way = Way.of(settings, off_limits, credentials)
        else:  # a podTemplate may have written the environment; a collector beside the router is at its loopback
            way = Way(off_limits.but_loopback()) if off_limits is not None else DIRECT
        made_of = on, settings, policy, config.forbidden_networks, way.proxy, way.ca
        if self._made_of == made_of:
            return
        fresh = await self._make(settings, policy, way) if on else None
        old, self.tracing = self.tracing, fresh
        self._made_of = made_of
        if old is not None:
            old.retire()

    async def _make(self, settings: TelemetryConfig | None, policy: PolicyRef, way: Way) -> Tracer:
        module = await asyncio.to_thread(load)  # takes a quarter of a second the first time
        try:
            made: Tracer = module.Tracing(
                settings,
                policy,
                self._counts,
                instance=self._environment.get("HOSTNAME", ""),
                environment=self._environment,
                wall=self._wall,
                bounds=self._bounds,
                way=way,
            )
        except MissingCredential:
            raise
        except ValueError as problem:
            raise ConfigRejected(f"a variable OTEL_* cannot be used: {problem}; correct it") from problem
        return made

    async def close(self) -> None:
        """Sends what is left."""
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
