"""`genset chat` talks to a model through a policy's routers, and says who answered, how fast, and what it cost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("model", required=False)
@click.option("-n", "--namespace", help="Namespace of the policy; its router is reached with your rights.")
@click.option("--policy", help="Name of the RoutePolicy. Default: the only one of the namespace.")
@click.option("--context", "kube_context", help="Context of the kubeconfig. Default: its current one.")
@click.option("--url", help="A router's own address instead, e.g. http://127.0.0.1:8080.")
@click.option(
    "--key-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), envvar="GENSET_KEY_FILE", show_envvar=True,
    help="File with a consumer's key, where the policy asks who asks.",
)  # fmt: skip
@click.option("-m", "--message", help="Ask this, and end. Default: what is piped in, or else a conversation.")
@click.option("--system", default="", help="System prompt.")
@click.option("--max-tokens", type=click.IntRange(1), help="The most that an answer may have.")
@click.option("--no-trail", is_flag=True, help="Do not look into the routers' logs for who was tried and what it cost.")
def command(
    model: str | None,
    namespace: str | None,
    policy: str | None,
    kube_context: str | None,
    url: str | None,
    key_file: Path | None,
    message: str | None,
    system: str,
    max_tokens: int | None,
    no_trail: bool,
) -> None:
    """Talk to MODEL through a policy's routers; without MODEL, list the names that it answers to.

    Answers come as they are written, on standard output; who gave them stands behind them, on standard error. With -n the
    routers' logs say what it cost and who was tried before. Ends with status 1 if an answer failed.

    \b
    Examples:
      genset chat -n law
      genset chat -n law assistant
      git diff | genset chat -n law assistant --system "Say what this changes."
    """
    from genset.chats import AnswerFailed, Chat, ChatServer
    from genset.columns import printable
    from genset.kubectl import KubectlError

    if (url is None) is (namespace is None):
        raise click.UsageError("say where: -n NAMESPACE, or --url URL of a router")
    key = key_file.read_text().strip() if key_file is not None else ""
    try:
        found = None if namespace is None else _policy(kube_context, namespace, policy)
        with nullcontext(url or "") if found is None else _forwarded(kube_context, namespace or "", *found) as base:
            server = ChatServer(base, key)
            if model is None:
                click.echo("\n".join(server.models()))
                return
            talk = Chat(server, model, system, max_tokens)
            told = None if no_trail or found is None else (kube_context, namespace or "", found[0])
            failed = [not _say(talk, text, told) for text in _questions(message)]
    except (KubectlError, AnswerFailed) as problem:
        raise click.ClickException(printable(str(problem))) from problem
    if failed and failed[-1]:
        raise click.exceptions.Exit(1)


def _questions(message: str | None) -> Iterator[str]:
    if message is not None:
        yield message
    elif not sys.stdin.isatty():
        if text := sys.stdin.read().strip():
            yield text
    else:
        click.echo("An empty line, or Ctrl-D, ends it.", err=True)
        while text := _typed():
            yield text


def _typed() -> str:
    try:
        return input("\nyou> ").strip()
    except EOFError:
        return ""


def _say(talk: Any, text: str, told: tuple[str | None, str, str] | None) -> bool:
    """Asks, prints the answer as it comes, and says whose it is. Returns whether it is whole."""
    from genset.chats import AnswerFailed
    from genset.columns import printable

    turn = talk.ask(text)
    try:
        for piece in turn.pieces():
            click.echo(printable(piece, lines=True), nl=False)
            sys.stdout.flush()
        click.echo()
        problem = ""
    except AnswerFailed as failure:
        problem = str(failure)
    if problem:
        click.echo(f"\nNo whole answer: {printable(problem)}", err=True)
    click.secho(f"  {printable(turn.said())}", dim=True, err=True)
    if told is not None and turn.id:
        _trail(*told, turn.id)
    return not problem


def _trail(context: str | None, namespace: str, policy: str, request_id: str) -> None:
    """Shows what the routers' logs say of it: written within a second after the answer has ended."""
    import time

    from genset import router_logs, trails
    from genset.columns import printable

    wanted, deadline = trails.Filters(id=request_id), time.monotonic() + 3
    while True:
        try:
            for _, text in router_logs.from_cluster(
                context, namespace, policy, "5m", lambda said: click.echo(said, err=True)
            ):
                if (line := trails.read(text, wanted)) is not None:
                    return click.secho(f"  {printable(trails.short(line))}", dim=True, err=True)
        except router_logs.LogsError as problem:
            return click.echo(f"  {printable(str(problem))}", err=True)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.3)


def _policy(context: str | None, namespace: str, policy: str | None) -> tuple[str, int]:
    """Returns the name of the policy that is meant, and the port of its Service. Raises KubectlError."""
    import json

    from genset import kinds, names
    from genset.kubectl import KubectlError, kubectl

    kind = f"{kinds.ROUTE_POLICY.plural}.{names.GROUP}"
    missing = "a router in a cluster is reached by kubectl: install it, or give --url"
    text = kubectl(
        "-n", namespace, "get", kind, "-o", "json", missing=missing, what=f"kubectl get {kind}", context=context
    )
    found = {one["metadata"]["name"]: one["spec"].get("router") or {} for one in json.loads(text)["items"]}
    if policy is None and len(found) != 1:
        what = f"it has {', '.join(found)}: name one with --policy" if found else "it has none: correct --namespace"
        raise KubectlError(f"which RoutePolicy of namespace {namespace} is meant: {what}")
    name = policy if policy is not None else next(iter(found))
    if name not in found:
        raise KubectlError(f"namespace {namespace} has no RoutePolicy {name}; it has {', '.join(found) or 'none'}")
    router = found[name]
    if router.get("tls"):
        raise KubectlError(
            f"RoutePolicy {name} has TLS, and its certificate names no port of this machine: give --url https://NAME, and its "
            "CA in SSL_CERT_FILE"
        )
    return name, int((router.get("service") or {}).get("port") or names.SERVICE_PORT)


@contextmanager
def _forwarded(context: str | None, namespace: str, policy: str, port: int) -> Iterator[str]:
    from genset import names
    from genset.kubectl import forwarded

    service = f"service/{policy}{names.ROUTER_SUFFIX}"
    with forwarded(namespace, service, port, missing="install kubectl, or give --url", context=context) as local:
        yield f"http://127.0.0.1:{local}"
