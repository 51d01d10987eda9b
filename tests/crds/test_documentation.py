"""What README and docs/ have people type at kubectl, and the resources they show, on a real API server with the real kubectl."""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from genset import names
from testbed.cluster import tools
from tests.crds.conftest import Server
from tests.support.docs.shell import Command, commands
from tools.pages import ROOT, pages

PAST = ("docs/status.md", "docs/adr/")
COMMANDS = [command for page in pages() if not page.path.startswith(PAST) for command in commands(page, {"kubectl"})]
KUBECTL = [command for command in COMMANDS if command.words[0] == "kubectl"]
RESOURCES = [
    (str(block), document)
    for page in pages()
    for block in page.blocks
    if block.language == "yaml"
    for document in yaml.safe_load_all(block.text)
    if isinstance(document, dict) and document.get("kind") in names.PLURALS
]
# Verbs whose first word names a kind, or several; those behind have it behind a verb of their own
ON_KINDS = {
    "get",
    "describe",
    "delete",
    "label",
    "annotate",
    "patch",
    "scale",
    "edit",
    "wait",
    "logs",
    "exec",
    "port-forward",
    "explain",
}
NESTED = {"rollout", "create", "config", "auth", "top", "set", "create secret"}
DEFAULT_KIND = {"logs", "exec", "port-forward"}  # a word without a slash is a pod's name there
OURS_AT = ("deploy/", "deployment/")
DEPLOYMENTS = {"genset-operator", "genset-ledger", "genset-console"}  # of a release that is called genset
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|")
PLACEHOLDER = re.compile(r"[A-Z][A-Z-]*|.*[…].*|SUBSTITUTED.*")


@functools.cache
def flags(verb: str) -> dict[str, bool]:
    """Flags of a verb as kubectl's own help tells them -> whether a value follows."""
    text = "".join(
        subprocess.run([tools.path("kubectl"), *arguments], capture_output=True, text=True, check=True).stdout
        for arguments in ((*verb.split(), "--help"), ("options",))
    )
    found = {"-h": False, "--help": False}
    for short, long, value in re.findall(r"^ +(?:(-\w), )?(--[\w-]+)=(.*?):?$", text, re.MULTILINE):
        takes = not value.startswith(("true", "false"))
        found |= {name: takes for name in (short, long) if name}
    return found


def wrong(command: Command, kinds: set[str]) -> Iterator[str]:
    """Yields what kubectl would say of a command before it asks anybody."""
    words = [word for word in command.words[1:] if word != "…"]
    verb, rest = _verb(words)
    if verb == "genset":
        return  # a plugin: `genset` itself
    if not _exists(verb):
        yield f"kubectl has no verb {verb}"
        return
    known = flags(verb)
    plain, files = [], []
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        if not word.startswith("-") or word == "-":
            plain.append(word)
            continue
        name, equals, value = word.partition("=")
        if name not in known:
            yield f"kubectl {verb} has no option {name}"
        elif known[name] and not equals:
            value = rest.pop(0) if rest else ""
        if name in ("-f", "--filename"):
            files.append(value)
    yield from (f"there is no file {path}" for path in files if _is_ours(path) and not (ROOT / path).exists())
    if verb == "label":
        pairs = (word.partition("=") for word in plain[1:] if "=" in word)
        yield from (f"{value} is no label's value" for _, _, value in pairs if not LABEL_VALUE.fullmatch(value))
    if verb in ON_KINDS and plain:
        named = (
            plain[0] if "/" in plain[0] else "/".join(plain[:2]) if plain[0] in ("deploy", "deployment") else plain[0]
        )
        yield from _wrong_kinds(verb, named, kinds)


def _verb(words: list[str]) -> tuple[str, list[str]]:
    """Returns the verb and the rest of the command; options may stand before the verb."""
    before: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        before += [word]
        if "=" not in word and flags("get").get(word, False):
            before.append(rest.pop(0))
    verb = rest.pop(0) if rest else ""
    while verb in NESTED and rest:
        verb = f"{verb} {rest.pop(0)}"
    return verb, before + rest


@functools.cache
def _exists(verb: str) -> bool:
    done = subprocess.run([tools.path("kubectl"), *verb.split(), "--help"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and f"kubectl {verb}" in done.stdout


def _is_ours(path: str) -> bool:
    """Whether a path means a file of the repository; others are the reader's own."""
    return path.split("/")[0] in ("manifests", "crds", "charts", "docs", "e2e")


def _wrong_kinds(verb: str, word: str, kinds: set[str]) -> Iterator[str]:
    if PLACEHOLDER.fullmatch(word) or (verb in DEFAULT_KIND and "/" not in word):
        return
    for kind in word.partition("/")[0].split(","):
        if kind not in kinds:
            yield f"the server has no kind {kind}"
    name = word.partition("/")[2]
    if word.startswith(OURS_AT) and name.startswith("genset") and name not in DEPLOYMENTS:
        yield f"the chart makes no {word}"


@pytest.fixture(scope="module")
def kinds(server: Server) -> set[str]:
    """Every word that the API server takes for a kind, or for several of them."""
    found = {"all", "genset"}
    for resource in server.plane.kubectl("api-resources", "--no-headers", "-o", "wide").splitlines():
        plural, *short = re.split(r"\s{2,}", resource)
        kind = re.search(r"(?:true|false)\s+(\w+)", resource)
        assert kind is not None
        found |= {plural, kind[1].lower(), kind[1], *(short[0].split(",") if short else ())}
    return found


@pytest.mark.parametrize("command", KUBECTL, ids=str)
def test_command(command: Command, kinds: set[str]) -> None:
    assert list(wrong(command, kinds)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kubectl gett pods", "no verb gett"),
        ("kubectl get podz", "no kind podz"),
        ("kubectl get pods,rpp", "no kind rpp"),
        ("kubectl get pods --namespaces x", "no option --namespaces"),
        ("kubectl -n x rollout stauts deploy/y", "no verb rollout stauts"),
        ("kubectl label namespace x genset.dev/data-zones=house,eu", "house,eu is no label's value"),
        ("kubectl apply -f manifests/instal.yaml", "no file manifests/instal.yaml"),
        ("kubectl logs deploy/genset", "the chart makes no deploy/genset"),
        ("kubectl get deployment -n x genset", "the chart makes no deployment/genset"),
    ],
)
def test_a_command_that_fails_is_found(text: str, said: str, kinds: set[str]) -> None:
    assert any(said in told for told in wrong(Command("here", tuple(text.split()), whole=True), kinds))


@pytest.mark.parametrize(("where", "document"), RESOURCES, ids=[where for where, _ in RESOURCES])
def test_resource(server: Server, where: str, document: dict[str, Any]) -> None:
    """The API server takes it, with kubectl's strict validation: an unknown field is an error."""
    document["metadata"]["namespace"] = "default"
    status, answer = server.create(document)
    assert status == 201, f"a user would read: {answer.get('message')}"
