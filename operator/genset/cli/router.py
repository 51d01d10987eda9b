"""`genset router` runs the data plane, in a pod or on a laptop."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
from dataclasses import replace
from pathlib import Path

import click

from genset import names
from genset.addresses import ServerName, host_and_port


class HostAndPort(click.ParamType[tuple[str, int]]):
    """An address is HOST:PORT, with [HOST] for IPv6."""

    name = "HOST:PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        found = host_and_port(str(value))
        if found is None or not found[0]:
            self.fail(f"{value!r} is not an address; write HOST:PORT, e.g. 127.0.0.1:8080 or [::]:8080", param, ctx)
        return found


@click.command()
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML with a RoutePolicy and what it names (Secrets, ModelDeployments), as applied to a cluster. Repeatable.",
)
@click.option("--policy", default=None, help="Name of the RoutePolicy to serve, if the files hold several.")
@click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="DEPLOYMENT=URL",
    help="Where a ModelDeployment answers, up to and without /v1. Repeatable.",
)
@click.option(
    "--config-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Folder with {names.ROUTER_CONFIG_FILE}, as the operator mounts it.",
)
@click.option(
    "--credentials",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder with credential files. With -f: SECRET/KEY in it, for Secrets that no file holds.",
)
@click.option(
    "--listen",
    type=HostAndPort(),
    default="127.0.0.1:8080",
    show_default=True,
    help="The OpenAI API. [::]:PORT: every address of IPv6 and IPv4.",
)
@click.option(
    "--admin", type=HostAndPort(), default="127.0.0.1:9090", show_default=True, help="Health, state and metrics."
)
@click.option(
    "--drain-grace",
    type=click.FloatRange(0, 600),
    default=None,
    help="Seconds in which new connections are still taken after SIGTERM. Default: 5 with --config-dir, 0 with -f.",
)
@click.option(
    "--spool",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder for egress records, 48 MiB at most. Default: /tmp/genset-spool with --config-dir, none with -f.",
)
@click.option("--access-log", default="-", show_default=True, help="File for one JSON line per request; - stdout; off.")
@click.option(
    "--shortcuts",
    type=click.Choice(["on", "off"]),
    default="on",
    envvar="GENSET_SHORTCUTS",
    show_envvar=True,
    show_default=True,
    help="Read answers that resemble earlier ones without parsing them. Off changes nothing but speed.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning"]), default="info", show_default=True)
def command(
    files: tuple[Path, ...],
    policy: str | None,
    endpoints: tuple[str, ...],
    config_dir: Path | None,
    credentials: Path | None,
    listen: tuple[str, int],
    admin: tuple[str, int],
    drain_grace: float | None,
    spool: Path | None,
    access_log: str,
    shortcuts: str,
    log_level: str,
) -> None:
    """Serve a RoutePolicy: an OpenAI API that fails over.

    In a cluster the operator gives it --config-dir and --credentials. Elsewhere -f takes the same YAML files:

        genset router -f policy.yaml --endpoint house-small=http://127.0.0.1:8081
    """
    import uvloop

    from genset.router.errors import ConfigRejected
    from genset.router.process.options import DRAIN_GRACE_SECONDS
    from genset.router.process.reload import ConfigSource, FolderSource
    from genset.router.process.run import serve
    from genset.router.process.server import ServerOptions

    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    source: ConfigSource
    if bool(files) == (config_dir is not None):
        raise click.UsageError("give either -f FILE or --config-dir DIR")
    if config_dir is not None:
        if policy or endpoints:
            raise click.UsageError("--policy and --endpoint belong to -f")
        source = FolderSource(config_dir, credentials)
    else:
        from genset.standalone import FilesSource, parse_endpoints

        try:
            source = FilesSource(files, policy, parse_endpoints(endpoints), credentials)
        except ConfigRejected as problem:
            raise click.ClickException(str(problem)) from problem
    raise_file_limit()
    grace = drain_grace if drain_grace is not None else (DRAIN_GRACE_SECONDS if config_dir is not None else 0.0)
    options = ServerOptions(
        listen,
        admin,
        grace,
        open_log(access_log),
        must_load=config_dir is None,
        environment=os.environ,
        shortcuts=shortcuts == "on",
        spool=spool if spool is not None or config_dir is None else Path(names.ROUTER_SPOOL_DIR),
    )
    if config_dir is None:  # a person watches it
        options = replace(options, tell=lambda line: click.echo(line, err=True))
    try:
        uvloop.run(serve(source, options))
    except ConfigRejected as problem:
        raise click.ClickException(str(problem)) from problem
    except OSError as problem:
        data, other = (ServerName(*place).shown(with_port=True) for place in (listen, admin))
        raise click.ClickException(
            f"cannot listen on {data} (--listen) or {other} (--admin): {problem.strerror or problem}"
        ) from problem


def open_log(where: str) -> int | None:
    """Returns the file descriptor of the access log; None for "off"."""
    if where == "off":
        return None
    if where == "-":
        return 1
    try:
        return os.open(where, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    except OSError as problem:
        raise click.ClickException(f"--access-log {where}: {problem.strerror}") from problem


def raise_file_limit() -> None:
    """Raises the limit of open files as far as the system allows: each stream holds two sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
