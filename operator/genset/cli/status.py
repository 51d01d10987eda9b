"""`genset status` is what one looks at first: models, policies, and what needs somebody."""

from __future__ import annotations

import click


@click.command()
@click.option("-n", "--namespace", help="Only this namespace. Default: all of them.")
@click.option("--context", "kube_context", help="Context of the kubeconfig. Default: its current one.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True,
    help="table; json and yaml, everything as values, whose fields stay.",
)  # fmt: skip
def command(namespace: str | None, kube_context: str | None, output: str) -> None:
    """Show models, routes and what needs somebody, on one screen.

    Resources are read with your rights. Ends with status 1 if something does not serve that should.

    \b
    Examples:
      genset status
      genset status -n law -o json
    """
    import json

    from genset import kinds, names, overview
    from genset.kubectl import KubectlError, kubectl

    wanted = ",".join(f"{kind.plural}.{names.GROUP}" for kind in (kinds.MODEL_DEPLOYMENT, kinds.ROUTE_POLICY))
    where = ("-n", namespace) if namespace else ("--all-namespaces",)
    missing = "models and policies stand in the cluster: install kubectl"
    try:
        text = kubectl(
            "get", wanted, *where, "-o", "json", missing=missing, what=f"kubectl get {wanted}", context=kube_context
        )
    except KubectlError as problem:
        raise click.ClickException(_with_remedy(str(problem), namespace)) from problem
    seen = overview.of(json.loads(text)["items"])
    if output == "yaml":
        import yaml

        click.echo(yaml.safe_dump(json.loads(overview.as_json(seen)), sort_keys=False, allow_unicode=True), nl=False)
    else:
        click.echo(overview.screen(seen) if output == "table" else overview.as_json(seen))
    if not seen.serves:
        raise click.exceptions.Exit(1)


def _with_remedy(problem: str, namespace: str | None) -> str:
    if "the server doesn't have a resource type" in problem:
        return f"{problem}; genset's resources are not installed in this cluster, see README.md"
    if namespace is None and "at the cluster scope" in problem:
        return f"{problem}; name a namespace that you may read: -n NAMESPACE"
    return problem
