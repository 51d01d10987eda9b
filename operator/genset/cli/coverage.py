"""`genset coverage` says what each route of a policy survives, before anything is lost."""

from __future__ import annotations

import click


@click.command()
@click.argument("policy", required=False)
@click.option("-n", "--namespace", required=True, help="Namespace of the policy; it is read with your rights.")
@click.option("--context", "kube_context", help="Context of the kubeconfig. Default: its current one.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True,
    help="table; json, an object for each loss of each route, one a line.",
)  # fmt: skip
@click.option("--all", "show_all", is_flag=True, help="Also losses that a route survives as it is.")
def command(policy: str | None, namespace: str, kube_context: str | None, output: str, show_all: bool) -> None:
    """Say what each route survives: the loss of the way out, the house, an account, a data zone, a node.

    \b
    Examples:
      genset coverage -n law assistant
      genset coverage -n law -o json --all

    Ends with status 1 if a single loss ends a route.
    """
    import json

    from genset import kinds, names
    from genset.continuity import shown
    from genset.kubectl import KubectlError, kubectl

    asked = (
        "-n",
        namespace,
        "get",
        f"{kinds.ROUTE_POLICY.plural}.{names.GROUP}",
        *((policy,) if policy else ()),
        "-o",
        "json",
    )
    missing = "the coverage of policies stands in their status: install kubectl"
    try:
        text = kubectl(*asked, missing=missing, what=f"kubectl {' '.join(asked[:4])}", context=kube_context)
    except KubectlError as problem:
        raise click.ClickException(str(problem)) from problem
    document = json.loads(text)
    rows = list(shown.rows(document.get("items", [document])))
    told = rows if show_all else [row for row in rows if not shown.is_untouched(row)]
    made = {"table": shown.table, "json": shown.as_json}[output](told)
    if made or output == "table":
        click.echo(made or "Every route survives each single loss as it is.")
    if shown.ends_a_route(rows):
        raise click.exceptions.Exit(1)
