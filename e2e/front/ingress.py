"""A real nginx in front of a router, set as ingress-nginx sets it for an Ingress: each annotation is one directive.

Directives without an annotation are those of ingress-nginx's own template (rootfs/etc/nginx/template/nginx.tmpl) and of its
defaults: HTTP/1.1 to the backend, the client that it sees as the only x-forwarded-for.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from e2e.cloud import free_port
from e2e.front.program import HOST, listening
from testbed.cluster import packages

Object = dict[str, Any]
PREFIX = "nginx.ingress.kubernetes.io/"
#: Annotation -> directive, what ingress-nginx takes without it, and the unit that it writes behind the value.
DIRECTIVES = {
    "proxy-buffering": ("proxy_buffering", "off", ""),
    "proxy-request-buffering": ("proxy_request_buffering", "on", ""),
    "proxy-read-timeout": ("proxy_read_timeout", "60", "s"),
    "proxy-send-timeout": ("proxy_send_timeout", "60", "s"),
    "proxy-body-size": ("client_max_body_size", "1m", ""),
    "proxy-next-upstream": ("proxy_next_upstream", "error timeout", ""),
}


def configuration(ingress: Object, folder: Path, port: int, router_port: int) -> str:
    """Returns nginx's configuration for an Ingress whose backend is a router at `router_port`."""
    said = {name.removeprefix(PREFIX): value for name, value in ingress["metadata"].get("annotations", {}).items()}
    assert set(said) <= set(DIRECTIVES), f"what is {set(said) - set(DIRECTIVES)}?"
    directives = [
        f"{directive} {said.get(name, default)}{unit};" for name, (directive, default, unit) in DIRECTIVES.items()
    ]
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    lines = [
        "daemon off; master_process off; worker_processes 1;",
        f"pid {folder}/nginx.pid; error_log {folder}/error.log;",
        "events { worker_connections 64; }",
        "http {",
        "access_log off;",
        *(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")),
        f"upstream router {{ server {HOST}:{router_port}; keepalive 32; }}",
        "server {",
        f"listen {HOST}:{port}; server_name {rule['host']};",
        f"location {path['path']} {{",
        *directives,
        'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;',
        "proxy_set_header X-Forwarded-For $remote_addr; proxy_pass http://router;",
        "} } }",
    ]
    return "\n".join(lines)


@contextlib.asynccontextmanager
async def ingress(folder: Path, resource: Object, router_port: int) -> AsyncIterator[int]:
    """Runs nginx while the block lasts. Gives its port."""
    packages.install(packages.FRONT)
    port, file = free_port(HOST), folder / f"nginx-{router_port}.conf"
    file.write_text(configuration(resource, folder, port, router_port))
    binary = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    assert binary is not None
    async with listening([binary, "-c", str(file), "-p", str(folder)], port):
        yield port
