"""`genset drill` runs drills now, lists what they have shown, and hands their evidence to whoever wants to check it."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any

import click

LOOK_SECONDS = 1.0  # between two looks at a run that is watched
BEGINS_SECONDS = 120.0  # in which the operator has to hear of it
EXITS = {"Passed": 0, "Missed": 1, "Aborted": 2}

_namespace = click.option(
    "-n", "--namespace", required=True, help="Namespace of the policy; it is read with your rights."
)
_context = click.option("--context", "kube_context", help="Context of the kubeconfig. Default: its current one.")


@click.group(invoke_without_command=True)
@click.option(
    "--evidence", type=click.Path(dir_okay=False, path_type=Path), help="Write the evidence of POLICY's drills here."
)
@click.option("--policy", help="NAMESPACE/POLICY whose evidence it is.")
@click.option("--ledger", help="Ledger that has it: its namespace, or its URL.")
@click.option(
    "--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Token of a ledger at a URL."
)
@click.option("--database", help="Ledger's database, or a backup of it.")
@click.option("--context", "kube_context", help="Context of the kubeconfig. Default: its current one.")
@click.option(
    "--verify", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Check such a file. Nobody is asked."
)
@click.option(
    "--head", help="With --verify: hash that was noted elsewhere (status.drillEvidence), which must be in it."
)
@click.pass_context
def command(
    ctx: click.Context,
    evidence: Path | None,
    policy: str | None,
    ledger: str | None,
    token_file: Path | None,
    database: str | None,
    kube_context: str | None,
    verify: Path | None,
    head: str | None,
) -> None:
    """Run drills now, list what they showed, export and check their evidence.

    \b
    Examples:
      genset drill run -n law assistant cloud-gone --watch
      genset drill list -n law
      genset drill --evidence out.json --policy law/assistant --ledger genset-system
      genset drill --verify out.json
    """
    if ctx.invoked_subcommand is not None:
        return
    if verify is not None:
        raise click.exceptions.Exit(_verify(verify, head or ""))
    if evidence is None:
        raise click.UsageError("say what to do: run, list, --evidence FILE or --verify FILE")
    if policy is None or "/" not in policy or (ledger is None) is (database is None):
        raise click.UsageError("--evidence needs --policy NAMESPACE/POLICY, and either --ledger or --database")
    if (ledger is not None and "://" in ledger) is not (token_file is not None):
        raise click.UsageError("--ledger URL and --token-file belong together")
    _export(evidence, policy, ledger, token_file, database, kube_context)


@command.command("run")
@click.argument("policy")
@click.argument("drill")
@_namespace
@_context
@click.option("--watch", is_flag=True, help="Wait for its end, and tell how far it is.")
def run(policy: str, drill: str, namespace: str, kube_context: str | None, watch: bool) -> None:
    """Run a drill of a policy now. With --watch: ends with status 1 if it missed its objective, 2 if it was aborted."""
    from genset import kinds, names

    found = _get(namespace, policy, kube_context)
    known = [one["name"] for one in found["spec"].get("drills", [])]
    if drill not in known:
        raise click.ClickException(f"policy {policy} has no drill {drill}; it has {', '.join(known) or 'none'}")
    word = f"{drill}.{secrets.token_hex(4)}"
    resource = f"{kinds.ROUTE_POLICY.plural}.{names.GROUP}"
    _kubectl(
        kube_context, "-n", namespace, "annotate", "--overwrite", resource, policy, f"{names.ANNOTATION_DRILL}={word}"
    )
    click.echo(f"Asked for drill {drill} of {namespace}/{policy}")
    if watch:
        raise click.exceptions.Exit(_watched(namespace, policy, drill, word, kube_context))


@command.command("list")
@click.argument("policy", required=False)
@_namespace
@_context
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(policy: str | None, namespace: str, kube_context: str | None, output: str) -> None:
    """List the drills of policies: their last run, and their next."""
    from genset.continuity.drills import shown

    found = _get(namespace, policy, kube_context)
    policies = found.get("items", [found])
    made = shown.as_json(policies) if output == "json" else shown.table(policies)
    click.echo(made or "No policy has drills.")


def _watched(namespace: str, policy: str, drill: str, word: str, context: str | None) -> int:
    """Tells how far a run is until its end. Returns the exit status."""
    from genset.continuity.drills import shown

    late, told, began = time.monotonic() + BEGINS_SECONDS, "", ""
    while True:
        status = shown.status_of(_get(namespace, policy, context), drill)
        running, last = status.get("running"), status.get("last") or {}
        if running is not None and status.get("requested") == word:
            began = running["id"]
        elif status.get("requested") == word and (not began or last.get("id") == began) and last:
            click.echo(shown.sentence(last))
            return EXITS.get(last["outcome"], 2)
        elif time.monotonic() > late and not began:
            raise click.ClickException("the operator has not begun it; look at the policy's conditions and at its log")
        words = f"{running['phase']} ({running['id']})" if running is not None else "waits for its turn"
        if words != told:
            click.echo(words)
            told = words
        time.sleep(LOOK_SECONDS)


def _verify(file: Path, noted: str) -> int:
    from genset.continuity.drills.evidence import checked

    try:
        told = json.loads(file.read_bytes())
    except ValueError as problem:
        raise click.ClickException(f"{file}: is no JSON ({problem})") from problem
    found = checked(told if isinstance(told, dict) else {}, noted)
    for one in found.runs:
        click.echo(f"{one.id}: {one.outcome}{' (unproved: no later run holds it)' if one.id in found.unproved else ''}")
    for words in found.problems:
        click.echo(f"BROKEN: {words}", err=True)
    if not found.problems:
        click.echo(f"{len(found.runs)} runs, each as it was written; their end is {found.head or 'unproved'}")
    return 1 if found.problems else 0


def _export(
    file: Path, policy: str, ledger: str | None, token_file: Path | None, database: str | None, context: str | None
) -> None:
    from genset.continuity.drills.evidence import EvidenceReading, document
    from genset.usage import egress_books, sources

    found, head = EvidenceReading(policy), ""
    try:
        if database is not None:
            egress_books.from_database(database, 0.0, found)
        elif ledger is not None and token_file is not None:
            egress_books.from_url(ledger, token_file.read_text().strip(), 0.0, found)
        elif ledger is not None:
            egress_books.from_cluster(context, ledger, 0.0, found)
    except sources.UsageError as problem:
        raise click.ClickException(str(problem)) from problem
    if ledger is not None and token_file is None:
        namespace, _, name = policy.partition("/")
        head = str((_get(namespace, name, context).get("status") or {}).get("drillEvidence", ""))
    runs = found.runs()
    file.write_text(json.dumps(document(policy, runs, head), indent=1, ensure_ascii=False) + "\n")
    click.echo(f"Wrote {len(runs)} runs of {policy} to {file}")


def _get(namespace: str, policy: str | None, context: str | None) -> dict[str, Any]:
    from genset import kinds, names

    named = (policy,) if policy else ()
    text = _kubectl(context, "-n", namespace, "get", f"{kinds.ROUTE_POLICY.plural}.{names.GROUP}", *named, "-o", "json")
    found: dict[str, Any] = json.loads(text)
    return found


def _kubectl(context: str | None, *asked: str) -> bytes:
    from genset.kubectl import KubectlError, kubectl

    missing = "drills of policies stand in their status: install kubectl"
    try:
        return kubectl(*asked, missing=missing, what=f"kubectl {' '.join(asked[:4])}", context=context)
    except KubectlError as problem:
        raise click.ClickException(str(problem)) from problem
