"""`genset key` makes, lists and revokes keys of consumers, which stand in Secrets."""

from __future__ import annotations

import base64
import json
from typing import Any

import click

_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

_cluster = [
    click.option("--context", "kube_context", help="Context of the kubeconfig. Default: the current one."),
    click.option("-n", "--namespace", help="Namespace of the Secret. Default: that of the context."),
]


def _of_a_cluster(command: Any) -> Any:
    for option in reversed(_cluster):
        command = option(command)
    return command


@click.group()
def command() -> None:
    """Make, list and revoke keys of consumers (spec.access of a RoutePolicy).

    \b
    Examples:
      genset key create invoices --secret team-keys -n models | kubectl apply -f -
      genset key create invoices --secret team-keys -n models --apply
      genset key list -n models
      genset key revoke 3f2a9c01b7de -n models
    """


@command.command()
@click.argument("consumer")
@click.option("--secret", help="Secret that holds the key. Default: CONSUMER-keys.")
@click.option("--comment", default="", help="What the key is for: a line above it.")
@click.option("--apply", "apply_it", is_flag=True, help="Add it to the Secret in the cluster, and print the key alone.")
@_of_a_cluster
def create(
    consumer: str, secret: str | None, comment: str, apply_it: bool, kube_context: str | None, namespace: str | None
) -> None:
    """Make a key for CONSUMER, and print the Secret that holds it.

    The Secret has an entry of the consumer's name, which access.consumers[].keysSecretRef.key names. The key is shown this once.
    """
    import re

    import yaml

    from genset import consumer_keys as keys
    from genset import names
    from genset.cli.crds import Dumper

    if not re.fullmatch(_NAME, consumer):
        raise click.UsageError(f"{consumer}: a consumer's name is of a-z, 0-9 and -, e.g. invoices")
    name, key = secret or f"{consumer}-keys", keys.new_key()
    made = keys.secret_with(key, name, namespace, consumer, comment)
    if not apply_it:
        click.echo(yaml.dump(made, Dumper=Dumper, sort_keys=False, width=120), nl=False)
        return
    where = _flags(kube_context, namespace)
    found = _kubectl(where, "get", "secret", name, "--ignore-not-found", "-o", "json")
    if not found.strip():
        _kubectl(where, "create", "-f", "-", given=json.dumps(made))
        click.echo(key)
        return
    live = json.loads(found)
    content = keys.added(_decoded(live).get(consumer, b""), key, comment)
    _write(where, live, {consumer: content})
    if (live["metadata"].get("labels") or {}).get(names.LABEL_CONSUMER) != names.CONSUMER:
        click.echo(
            f"Secret {name} is not labelled yet, so that no router takes it: kubectl label secret {name} "
            f"{names.LABEL_CONSUMER}={names.CONSUMER}",
            err=True,
        )
    click.echo(key)


@command.command("list")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@_of_a_cluster
def list_(output: str, kube_context: str | None, namespace: str | None) -> None:
    """List the keys of the Secrets that are labelled for consumers: by their ids, never the keys."""
    from genset.columns import aligned

    found = [key for live in _labelled(_flags(kube_context, namespace)) for key in _listed(live)]
    if output == "json":
        click.echo(json.dumps([key._asdict() for key in found], indent=2, ensure_ascii=False))
        return
    rows = [("SECRET", "ENTRY", "ID", "COMMENT"), *((k.secret, k.entry, k.id, k.fault or k.comment) for k in found)]
    click.echo("\n".join(aligned(rows)))


@command.command()
@click.argument("id")
@_of_a_cluster
def revoke(id: str, kube_context: str | None, namespace: str | None) -> None:
    """Take the key with this ID (see `genset key list`) out of its Secret. Routers refuse it within seconds."""
    from genset import consumer_keys as keys

    where = _flags(kube_context, namespace)
    for live in _labelled(where):
        for entry, content in _decoded(live).items():
            left = keys.without(content, id)
            if left is not None:
                _write(where, live, {entry: left})
                click.echo(f"Secret {live['metadata']['name']}: key {id} of {entry} is revoked")
                return
    raise click.ClickException(
        f"no labelled Secret holds a key with the id {id}; genset key list shows those that there are"
    )


def _listed(live: dict[str, Any]) -> list[Any]:
    from genset import consumer_keys as keys

    return keys.listed(live["metadata"]["name"], _decoded(live))


def _labelled(where: list[str]) -> list[dict[str, Any]]:
    from genset import names

    told = _kubectl(where, "get", "secrets", "-l", f"{names.LABEL_CONSUMER}={names.CONSUMER}", "-o", "json")
    items: list[dict[str, Any]] = json.loads(told)["items"]
    return items


def _decoded(live: dict[str, Any]) -> dict[str, bytes]:
    return {entry: base64.b64decode(value) for entry, value in (live.get("data") or {}).items()}


def _write(where: list[str], live: dict[str, Any], entries: dict[str, bytes]) -> None:
    """Changes entries of a Secret, unless somebody else has changed it meanwhile."""
    data = {entry: base64.b64encode(content).decode() for entry, content in entries.items()}
    patch = {"metadata": {"resourceVersion": live["metadata"]["resourceVersion"]}, "data": data}
    # From standard input, because whoever lists processes sees arguments.
    _kubectl(where, "patch", "secret", live["metadata"]["name"], "--patch-file", "/dev/stdin", given=json.dumps(patch))


def _flags(context: str | None, namespace: str | None) -> list[str]:
    return [*(["--context", context] if context else []), *(["--namespace", namespace] if namespace else [])]


def _kubectl(where: list[str], *arguments: str, given: str | None = None) -> bytes:
    from genset.kubectl import KubectlError, kubectl

    missing = "this needs kubectl: install it, or apply what `genset key create` prints"
    try:
        return kubectl(*where, *arguments, missing=missing, what=f"kubectl {arguments[0]}", given=given)
    except KubectlError as error:
        raise click.ClickException(str(error)) from error
