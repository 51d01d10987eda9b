"""Whether traces are wanted, and the way to the code that makes them: it is an extra, and loaded only then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from genset.router.config import RouterConfig, TelemetryConfig
from genset.router.reload import ConfigRejected

if TYPE_CHECKING:
    from types import ModuleType

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
