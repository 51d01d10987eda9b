"""Whether traces are wanted, and the way to the code that makes them: it is an extra, and loaded only then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Protocol

from genset.contracts.router_config import PolicyRef, RouterConfig, TelemetryConfig
from genset.router.backends.mask import Mask
from genset.router.errors import ConfigRejected
from genset.router.exchange.record import Record

SPOKEN = "http/protobuf"
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def by_environment(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for traces: an endpoint is named and nothing switches them off.

    Source: OpenTelemetry specification, Environment Variable Specification and OTLP Exporter Configuration.
    """
    named = any(environment.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_"))
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return named and not disabled and environment.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() == "otlp"


def settings_of(config: RouterConfig, environment: Mapping[str, str]) -> tuple[bool, TelemetryConfig | None]:
    """(whether traces are wanted, the policy's settings): a policy's word counts before the environment's."""
    if config.telemetry is not None:
        return True, config.telemetry
    wanted = by_environment(environment)
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), SPOKEN)
    if wanted and protocol != SPOKEN:
        raise ConfigRejected(f"OTEL_EXPORTER_OTLP_PROTOCOL {protocol} is not spoken; set {SPOKEN}, port 4318 as a rule")
    return wanted, None


def load() -> ModuleType:
    """The module `tracing`. ConfigRejected without the extra."""
    try:
        from genset.router.telemetry import tracing
    except ImportError as problem:
        raise ConfigRejected(
            f"traces are wanted, but {problem.name or 'the OpenTelemetry SDK'} is not installed: pip install 'genset[otel]', "
            "or take telemetry (or OTEL_EXPORTER_OTLP_ENDPOINT) away"
        ) from problem
    return tracing


class Tracer(Protocol):
    """What makes the spans of requests: `tracing.Tracing`, which cannot be imported without the extra."""

    def begin(self, record: Record, mask: Mask) -> None:
        """A request has arrived; its record gets a span if it is sampled."""

    def retire(self) -> None:
        """Sends what is left in its own time; nothing new comes."""

    def close(self) -> None:
        """Sends what is left, now."""


class Traces:
    """The traces of one router, as the configuration in force wants them. `tracing` is None where it wants none.

    `counts` of spans outlive configurations; `wall` is the time of day.
    """

    def __init__(self, counts: dict[str, int], environment: Mapping[str, str], wall: Callable[[], float]) -> None:
        self.tracing: Tracer | None = None
        self._counts = counts
        self._environment = environment
        self._wall = wall
        self._made_of: tuple[bool, TelemetryConfig | None, PolicyRef | None] = (False, None, None)

    async def take(self, config: RouterConfig) -> None:
        """Follows a configuration. ConfigRejected where its traces cannot be made; the others go on then."""
        policy = config.policy.model_copy(update={"generation": 0})
        on, settings = settings_of(config, self._environment)
        if self._made_of == (on, settings, policy):
            return
        fresh = await self._make(settings, policy) if on else None
        old, self.tracing = self.tracing, fresh
        self._made_of = (on, settings, policy)
        if old is not None:
            old.retire()

    async def _make(self, settings: TelemetryConfig | None, policy: PolicyRef) -> Tracer:
        module = await asyncio.to_thread(load)  # a quarter of a second, the first time
        try:
            made: Tracer = module.Tracing(
                settings,
                policy,
                self._counts,
                instance=self._environment.get("HOSTNAME", ""),
                environment=self._environment,
                wall=self._wall,
            )
        except ValueError as problem:
            raise ConfigRejected(f"an OTEL_ variable is of no use: {problem}; correct it") from problem
        return made

    async def close(self) -> None:
        """Sends what is left."""
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
