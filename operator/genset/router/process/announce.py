"""An announcement is what a router says of itself at its start: its addresses, routes and backends. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from genset import __version__
from genset.addresses import ServerName
from genset.contracts.backend_config import BackendConfig
from genset.contracts.route_config import RouteConfig
from genset.contracts.router_config import RouterConfig
from genset.router.process.options import ServerOptions


def introduction(options: ServerOptions, config: RouterConfig | None, port: int, admin_port: int) -> list[str]:
    """Returns lines for a person, the most important first.

    If there is no configuration yet, the log has already said why.
    """
    lines = [f"genset router {__version__}"]
    if config is not None:
        policy = config.policy
        lines[0] += f" serves RoutePolicy {policy.namespace}/{policy.name}"
        lines[0] += f", generation {policy.generation}" if policy.generation else ""
    base = _url(options.listen[0], port, secure=config is not None and config.tls is not None)
    lines.append(f"  base URL for clients: {base}/v1{_everywhere(options)}")
    if options.admin is not None:
        lines.append(f"  admin: {_url(options.admin[0], admin_port)}/-/state, /-/ready, /metrics")
    if config is None:
        lines.append("  no configuration yet: every request gets 503 until one is taken; the router keeps looking")
        return lines
    lines += [f"  {line}" for route in config.routes for line in _route(route)]
    lines += [f"  {_backend(backend)}" for backend in config.backends]
    if config.cors is not None:
        lines.append(f"  web pages: {', '.join(config.cors.allowed_origins)}")
    if config.log is not None and config.log.required:
        lines.append("  log.required: requests are refused while their lines cannot be written")
    return lines


def taken(config: RouterConfig, config_hash: str) -> str:
    """Returns the log line for a configuration that is taken."""
    policy = config.policy
    return (
        f"Took configuration {config_hash} of RoutePolicy {policy.namespace}/{policy.name} generation "
        f"{policy.generation}: {len(config.routes)} routes, {len(config.backends)} backends"
    )


def _route(route: RouteConfig) -> Iterator[str]:
    match = route.match
    names = ", ".join(match.models) or "any model"
    if match.max_input_tokens is not None:
        names += f" up to {match.max_input_tokens} tokens"
    if match.headers:
        names += " with " + ", ".join(f"{header.name}: {header.value}" for header in match.headers)
    if match.shape is not None:
        names += " of one shape"
    tiers = " -> ".join(" | ".join(weighted.backend for weighted in tier) for tier in route.tiers)
    yield f"route {route.name}: {names} -> {tiers or 'no backend: every request gets 503'}"


def _backend(backend: BackendConfig) -> str:
    if backend.local is not None:
        where = f"{_url(backend.local.dns.host, backend.local.dns.port)}/v1"
    else:
        where = backend.url.base_url if backend.url is not None else "nowhere"
    side = "house" if backend.kind == "local" else f"cloud, {backend.url.provider}" if backend.url else "cloud"
    context = f"{backend.context_tokens} tokens of context" if backend.context_tokens else "context size unknown"
    key = (
        "" if backend.kind == "local" else ", with a key" if backend.url and backend.url.key_file else ", without a key"
    )
    return f"backend {backend.name} ({side}): model {backend.model} at {where}, {context}{key}"


def _url(host: str, port: int, *, secure: bool = False) -> str:
    if host in ("", "0.0.0.0", "::"):
        host = "127.0.0.1"
    server = ServerName(host.strip("[]"), port)
    return f"{'https' if secure else 'http'}://{server.shown(with_port=True)}"


def _everywhere(options: ServerOptions) -> str:
    if options.listen[0] not in ("", "0.0.0.0", "::"):
        return ""
    name = options.environment.get("HOSTNAME", "")
    return f" (every address of this host{', ' + name if name else ''})"
