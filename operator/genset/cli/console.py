"""`genset console` serves pages for people: fleet, routes, continuity, cost, data, requests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from genset import names
from genset.cli import values
from genset.cli.router import HostAndPort

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option(
    "--listen", type=HostAndPort(), default=f"127.0.0.1:{names.CONSOLE_PORT}", show_default=True,
    help="Where browsers come. Put TLS in front, unless it is this machine.",
)  # fmt: skip
@click.option(
    "--kubeconfig", type=_FILE, help="Kubeconfig file. Default: the pod's service account, else ~/.kube/config."
)
@click.option("--context", help="Context of the kubeconfig. Default: its current one.")
@click.option(
    "--namespace", "namespaces", multiple=True, callback=values.words, envvar="GENSET_NAMESPACE",
    help="Only this namespace; repeat for more. Default: the whole cluster.",
)  # fmt: skip
@click.option(
    "--ledger-url", default="", metavar="URL", help="Ledger to ask, e.g. http://genset-ledger.genset-system.svc:8090."
)
@click.option("--ledger-token-file", type=_FILE, help="File with a reader's token (genset ledger token).")
@click.option("--oidc-issuer", default="", metavar="URL", help="Identity provider by which people sign in, too.")
@click.option("--oidc-client-id", default="", help="Who the console is to the provider.")
@click.option("--oidc-client-secret-file", type=_FILE, help="File with the client's secret, if it has one.")
@click.option("--oidc-ca-file", type=_FILE, help="Certificates (PEM) that are trusted beside the system's.")
@click.option(
    "--oidc-username-claim", default="sub", show_default=True, help="Claim that names a person, as for the API server."
)
@click.option("--oidc-username-prefix", default="", help="What stands before it in roles.")
@click.option("--oidc-groups-claim", default="groups", show_default=True, help="Claim with a person's groups.")
@click.option("--oidc-groups-prefix", default="", help="What stands before them in roles.")
@click.option(
    "--external-url", default="", metavar="URL", help="The console's own address, to which the provider sends back."
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of log lines, on standard error."
)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", help="Least severe lines."
)
def command(
    listen: tuple[str, int],
    kubeconfig: Path | None,
    context: str | None,
    namespaces: tuple[str, ...],
    ledger_url: str,
    ledger_token_file: Path | None,
    external_url: str,
    log_format: str,
    log_level: str,
    **oidc: Any,
) -> None:
    """Serve pages for people, read-only, until SIGTERM: fleet, routes, continuity, cost, data, requests.

    Whoever signs in sees what his own rights in the cluster let him see.

    \b
    Example, on this machine:
      genset console --context mine
      kubectl -n law create token viewer --audience genset-console   # what to sign in with
    """
    from genset.cli.log_format import configure
    from genset.console.oidc import ProviderOptions
    from genset.console.run import ConsoleOptions, run

    provider = None
    if oidc["oidc_issuer"]:
        if not oidc["oidc_client_id"] or not external_url:
            raise click.UsageError("--oidc-issuer needs --oidc-client-id and --external-url")
        provider = ProviderOptions(
            oidc["oidc_issuer"], oidc["oidc_client_id"], external_url, oidc["oidc_client_secret_file"], oidc["oidc_ca_file"],
            oidc["oidc_username_claim"], oidc["oidc_username_prefix"], oidc["oidc_groups_claim"], oidc["oidc_groups_prefix"],
        )  # fmt: skip
    if bool(ledger_url) != (ledger_token_file is not None):
        raise click.UsageError("--ledger-url and --ledger-token-file belong together")
    configure(log_format, log_level)
    options = ConsoleOptions(listen, namespaces, kubeconfig, context, ledger_url, ledger_token_file, provider)
    try:
        asyncio.run(run(options))
    except OSError as problem:
        raise click.ClickException(str(problem)) from problem
