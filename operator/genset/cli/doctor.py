"""`genset doctor` looks at an installation and says what to do."""

from __future__ import annotations

import click


@click.command()
@click.option("--context", "kube_context", help="Context of the kubeconfig. Default: its current one.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(kube_context: str | None, output: str) -> None:
    """Look at an installation and say what to do: definitions, operator, namespaces, storage, nodes, ledger.

    Everything is read with your rights, and nothing is changed. Ends with status 1 if something is ill.

    \b
    Example:
      genset doctor --context my-cluster
    """
    import time

    import genset
    from genset.api.crd import definitions
    from genset.doctor import findings as doctor
    from genset.doctor.reading import read
    from genset.kubectl import KubectlError

    try:
        found = read(kube_context)
    except KubectlError as problem:
        raise click.ClickException(str(problem)) from problem
    ours = {one["metadata"]["name"]: one for one in definitions().values()}
    seen = list(doctor.findings(found, ours, genset.__version__, time.time()))
    click.echo(doctor.table(seen) if output == "table" else doctor.as_json(seen))
    if any(one.verdict == doctor.Diagnosis.ILL for one in seen):
        raise click.exceptions.Exit(1)
